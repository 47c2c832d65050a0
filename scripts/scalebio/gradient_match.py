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

from scalebio import lora
from scalebio.chat import Example
from scalebio.config import Lisa
from scalebio.errors import UserError
from scalebio.source_gradients import SourceGradients


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


class Matcher(SourceGradients):
    """A model trained on weighted sources that measures products on the way; no second model.

    Memory beside model and optimiser: sources + 2 gradients of the parameters that train. `settings` as in
    `SourceGradients`, with per_source at least 2.
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
        super().__init__("match", model, by_source, validation, settings, seed, row_length, layers)
        self.adapted = bool(lora.adapters(model))

    def step(self, weights: np.ndarray) -> tuple[Products, float] | None:
        """One AdamW step on Σ λ_i l_i with `weights` [sources]; the products seen before it, and the mean ‖g_i‖².

        None while Adam has no second moment to measure by: at the first step, right after LISA drew layers, and at the second
        step of adapters, whose A has no gradient at the first.
        """
        batches, size = self.start(), self.settings.per_source
        half, metric = size // 2, self._metric()
        gradients, diagonal = [], np.zeros(self.count)
        for i, rows in enumerate(batches):
            first, second = self.gradient(rows[:half]), self.gradient(rows[half:])
            if metric is not None:
                diagonal[i] = (first * metric) @ second
            gradients.append(first.mul_(half / size).add_(second, alpha=1 - half / size))
        stacked = torch.stack(gradients)
        seen = None
        if metric is not None:
            cross = stacked @ (metric * self.gradient(self.held_out()))
            gram = ((stacked * metric) @ stacked.T).double().cpu().numpy()
            norm = float(np.diag(gram).mean())
            gram = gram - np.diag(np.diag(gram)) + np.diag(diagonal)
            seen = Products(gram, cross.double().cpu().numpy()), norm
        self.descend(torch.as_tensor(weights, dtype=stacked.dtype, device=self.device) @ stacked)
        return seen

    def _metric(self) -> torch.Tensor | None:
        """Adam's 1/(√v̂ + ε) of the parameters that train, flat.

        Under LISA with v̂ averaged over each tensor: a freshly drawn layer has seen few steps, and elementwise its v̂ would
        be the square of single noisy gradients.
        """
        group, parts = self.optimizer.param_groups[0], []
        for parameter in self.active():
            state = self.optimizer.state.get(parameter)
            if not state:
                return None
            if self.adapted and not state["exp_avg_sq"].any():
                return None
            moment = state["exp_avg_sq"] / (1 - group["betas"][1] ** float(state["step"]))
            moment = moment.mean().expand_as(moment) if self.lisa else moment
            parts.append(1 / (moment.sqrt() + group["eps"]).flatten())
        return torch.cat(parts)
