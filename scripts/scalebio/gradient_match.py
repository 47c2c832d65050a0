"""Gradient matching: the weights whose training gradient points where the validation gradient points.

At one model, let g_i be the gradient of source i's loss and v that of the validation loss, measured in the metric of
Adam's step, 1/√v̂. Where the validation set is a mixture of the sources, its shares λ make Σ λ_i g_i = v, at every model.
So the mismatch ‖Σ λ_i g_i − v‖² = λᵀGλ − 2cᵀλ + const, with the Gram matrix G and the cross products c, says how far
weights are from right. It is what the gap of ScaleBiO adds up to over time to first order (docs/method.md), without memory.

Products are taken between different mini-batches only: within one, noise times itself would look like signal. Ours.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize

from scalebio import lisa, lora, schedules
from scalebio.batching import Cycle, StratifiedDraws, pack
from scalebio.chat import Example
from scalebio.config import Lisa
from scalebio.errors import UserError
from scalebio.losses import ResponseLoss
from scalebio.streams import stream


@dataclass(frozen=True)
class Products:
    """Gram matrix [sources, sources] and cross products with the validation gradient [sources], without unit."""

    gram: np.ndarray
    cross: np.ndarray

    def mismatch(self, weights: np.ndarray) -> float:
        """λᵀGλ − 2cᵀλ for weights [sources]: the mismatch up to a constant; unbiased if the products are."""
        return float(weights @ self.gram @ weights - 2 * self.cross @ weights)

    def solve(self) -> np.ndarray:
        """The weights [sources] on the simplex with the least mismatch, G's negative eigenvalues (noise) cut."""
        gram, cross = positive(self.gram), self.cross
        count = len(cross)
        scale = max(np.abs(gram).max(), np.abs(cross).max(), 1e-300)
        found = minimize(
            lambda p: (p @ gram @ p - 2 * cross @ p) / scale,
            np.full(count, 1 / count),
            jac=lambda p: 2 * (gram @ p - cross) / scale,
            bounds=[(0, 1)] * count,
            constraints={"type": "eq", "fun": lambda p: p.sum() - 1, "jac": lambda p: np.ones(count)},
            method="SLSQP",
            options={"ftol": 1e-12, "maxiter": 500},
        )
        weights = np.clip(found.x, 0, None)
        return weights / weights.sum()


def positive(matrix: np.ndarray) -> np.ndarray:
    """The nearest positive semidefinite matrix to a symmetric one: negative eigenvalues set to zero."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return (vectors * values.clip(min=0)) @ vectors.T


class Average:
    """Running mean of products. `decay` None: the plain mean; else a weighted one that forgets by `decay` a step.

    Every observation is divided by the running mean square of the sources' gradients, so that steps count alike. That
    norm is biased by noise but never near zero; the unbiased diagonal of G can be, and then failed (docs/measured.md).
    """

    def __init__(self, decay: float | None = None):
        self.decay = decay
        self.gram = self.cross = self.norm = self.total = 0.0

    def add(self, products: Products, norm: float) -> None:
        """Add one step's products; `norm` is the mean of ‖g_i‖² over sources, noise included."""
        keep = 1.0 if self.decay is None else self.decay
        self.total = keep * self.total + 1
        self.norm = keep * self.norm + norm
        scale = self.norm / self.total
        self.gram = keep * self.gram + products.gram / scale
        self.cross = keep * self.cross + products.cross / scale

    @property
    def value(self) -> Products:
        """The mean so far. Raises ValueError before the first observation."""
        if not self.total:
            raise ValueError("no products have been added yet")
        return Products(self.gram / self.total, self.cross / self.total)


class Matcher:
    """A model trained on weighted sources that measures products on the way; no second model.

    Memory beside model and optimiser: sources + 2 gradients of the parameters that train. `settings` has steps,
    learning_rate, per_source (at least 2), validation_batch and ramp.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        by_source: list[list[Example]],
        validation: list[Example],
        settings,
        seed: int,
        row_length: int,
        layers: Lisa | None = None,
    ):
        if settings.per_source < 2:
            raise UserError("gradient matching splits each source's batch in two; set `per_source` to at least 2.")
        self.model = model.eval()  # dropout off, as in the bilevel loop
        self.loss, self.settings, self.row_length, self.lisa = ResponseLoss(model), settings, row_length, layers
        self.validation, self.count = validation, len(by_source)
        self.device = next(model.parameters()).device
        self.draws = StratifiedDraws(by_source, settings.per_source, stream(seed, "match training batches"))
        self.validation_draws = Cycle(len(validation), stream(seed, "match validation batches"))
        self.layer_draws = (
            lisa.LayerDraws(len(lisa.find_layers(model)), layers.layers, layers.interval, stream(seed, "match layers"))
            if layers
            else None
        )
        parameters = list(lora.trainable(model).values())
        for parameter in parameters:
            parameter.requires_grad_(True)
        self.optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=0.0)
        self.adapted = bool(lora.adapters(model))
        self.done = 0
        self.tokens = 0  # that went forward and backward

    def step(self, weights: np.ndarray) -> tuple[Products, float] | None:
        """One AdamW step on Σ λ_i l_i with `weights` [sources]; the products seen before it, and the mean ‖g_i‖².

        None while Adam has no second moment to measure by: at the first step, right after LISA drew layers, and at the second
        step of adapters, whose A has no gradient at the first.
        """
        k, size = self.done, self.settings.per_source
        drawn = self.layer_draws.at(k) if self.layer_draws else None
        if drawn is not None:
            lisa.activate(self.model, drawn, self.lisa.embeddings)
            lisa.free_frozen(self.optimizer)
        examples, half = self.draws.next(), size // 2
        metric = self._metric()
        gradients, diagonal = [], np.zeros(self.count)
        for i in range(self.count):
            rows = examples[i * size : (i + 1) * size]
            first, second = self._gradient(rows[:half]), self._gradient(rows[half:])
            if metric is not None:
                diagonal[i] = (first * metric) @ second
            gradients.append(first.mul_(half / size).add_(second, alpha=1 - half / size))
        stacked = torch.stack(gradients)
        seen = None
        if metric is not None:
            held_out = [self.validation[j] for j in self.validation_draws.take(self.settings.validation_batch)]
            cross = stacked @ (metric * self._gradient(held_out))
            gram = ((stacked * metric) @ stacked.T).double().cpu().numpy()
            norm = float(np.diag(gram).mean())
            gram = gram - np.diag(np.diag(gram)) + np.diag(diagonal)
            seen = Products(gram, cross.double().cpu().numpy()), norm
        self._descend(torch.as_tensor(weights, dtype=stacked.dtype, device=self.device) @ stacked)
        self.done += 1
        return seen

    def _active(self) -> list[torch.nn.Parameter]:
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def _gradient(self, examples: list[Example]) -> torch.Tensor:
        """Gradient of the mean loss of `examples`, flat, of the parameters that train."""
        self.tokens += sum(len(example.ids) for example in examples)
        share = torch.full((len(examples),), 1 / len(examples), device=self.device)
        objective, _ = self.loss(pack(examples, self.row_length).to(self.device), share)
        if not torch.isfinite(objective):
            rate = self.settings.learning_rate
            raise UserError(f"The loss is not finite at step {self.done}: lower `learning_rate` (now {rate}).")
        return torch.cat([part.flatten() for part in torch.autograd.grad(objective, self._active())])

    def _metric(self) -> torch.Tensor | None:
        """Adam's 1/(√v̂ + ε) of the parameters that train, flat.

        Under LISA with v̂ averaged over each tensor: a freshly drawn layer has seen few steps, and elementwise its v̂ would
        be the square of single noisy gradients.
        """
        group, parts = self.optimizer.param_groups[0], []
        for parameter in self._active():
            state = self.optimizer.state.get(parameter)
            if not state:
                return None
            if self.adapted and not state["exp_avg_sq"].any():
                return None
            moment = state["exp_avg_sq"] / (1 - group["betas"][1] ** float(state["step"]))
            moment = moment.mean().expand_as(moment) if self.lisa else moment
            parts.append(1 / (moment.sqrt() + group["eps"]).flatten())
        return torch.cat(parts)

    def _descend(self, gradient: torch.Tensor) -> None:
        at = 0
        for parameter in self._active():
            parameter.grad = gradient[at : at + parameter.numel()].view_as(parameter).clone()
            at += parameter.numel()
        settings = self.settings
        factor = schedules.ramp_cosine(self.done, settings.steps, settings.ramp)
        self.optimizer.param_groups[0]["lr"] = settings.learning_rate * factor
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
