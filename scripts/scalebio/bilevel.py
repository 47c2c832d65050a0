"""The ScaleBiO loop: minimise over λ and w, maximise over u, L1(w) + α (L2(λ, w) − L2(λ, u)).

w is the model pulled towards the validation set, u a second copy that only follows the weighted training loss;
where w is better than u on a source, that source helps the validation loss, and its weight rises. One outer step:

1. draw `per_source` examples of every source and a validation batch; u and w see the same training examples;
2. u: one AdamW step on Σ p_i l_i(u), with p = softmax(λ) and l_i the mean loss of source i;
3. w: one AdamW step on (L1(w) + α Σ p_i l_i(w)) / (1 + α);
4. λ: one Adam step on α p_i (d_i − Σ_j p_j d_j), with d_i = l_i(w) − l_i(u), both taken before steps 2 and 3.

All three learning rates follow one schedule, a ramp and a cosine to zero, as in the ACL release: without the ramp the
first, nearly random gaps move λ by full-sized Adam steps, and a source that loses then recovers slowly.

Same examples, same LISA layers and no dropout in u and w: each removes noise from d that the official code has.
Sources: paper §2 and Algorithm 1; settings measured in `docs/method.md`.
"""

import copy
import functools
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from scalebio import lisa, schedules
from scalebio.batching import Cycle, StratifiedDraws, pack
from scalebio.chat import Example
from scalebio.config import Lisa, ScaleBiO
from scalebio.errors import UserError
from scalebio.losses import ResponseLoss, group_means
from scalebio.streams import stream


@dataclass(frozen=True)
class Step:
    """What one outer step saw, before its updates: `weights` and `gap` (l(w) − l(u), nats) of shape [sources]."""

    step: int
    weights: np.ndarray
    gap: np.ndarray
    L1: float
    L2_w: float
    L2_u: float
    seconds: float
    peak_memory_gb: float


def weight_gradient(weights: torch.Tensor, gap: torch.Tensor, alpha: float) -> torch.Tensor:
    """Gradient of α (L2(λ, w) − L2(λ, u)) in λ: α p_i (d_i − Σ_j p_j d_j), shape [sources] (chain rule through softmax)."""
    return alpha * weights * (gap - weights @ gap)


def softmax(logits: torch.Tensor) -> torch.Tensor:
    """Weights from logits λ."""
    return torch.softmax(logits, dim=0)


def peak_memory_gb() -> float:
    """Peak memory so far in GB: of the GPU where one is used, else resident memory of this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    # ru_maxrss is in kilobytes on Linux and in bytes on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9


def copy_state(source: torch.optim.Optimizer, target: torch.optim.Optimizer) -> None:
    """Give `target` the state that `source` has, parameter by parameter in order, and nothing else."""
    target.state.clear()
    for group_from, group_to in zip(source.param_groups, target.param_groups, strict=True):
        for parameter_from, parameter_to in zip(group_from["params"], group_to["params"], strict=True):
            if parameter_from in source.state:
                target.state[parameter_to] = copy.deepcopy(source.state[parameter_from])


class Bilevel:
    """One run of the loop; `step()` advances it, `weights` is where it stands.

    `loss(model)` gives the module that maps (batch, coefficients) to the weighted objective and each example's loss, and
    `collate(examples)` its batch, which has `.to(device)`; by default ResponseLoss and `pack`. With others the loop
    runs on problems whose answer is known.
    """

    def __init__(
        self,
        base: torch.nn.Module,
        by_source: list[list[Example]],
        validation: list[Example],
        settings: ScaleBiO,
        seed: int,
        row_length: int,
        layers: Lisa | None = None,
        loss: Callable[[torch.nn.Module], torch.nn.Module] = ResponseLoss,
        collate: Callable[[list], object] | None = None,
    ):
        if any(not examples for examples in by_source):
            raise UserError(f"Source number {[bool(e) for e in by_source].index(False)} has no training rows.")
        # The base itself serves as u, so that only one copy is made.
        self.u, self.w = base, copy.deepcopy(base)
        for model in (self.u, self.w):
            model.eval()  # dropout off: with it the gap of two equal models is not zero
        self.settings, self.lisa = settings, layers
        self.collate = collate or functools.partial(pack, row_length=row_length)
        self.validation = validation
        self.count = len(by_source)
        self.device = next(base.parameters()).device
        self.losses = [loss(model) for model in (self.u, self.w)]
        self.draws = StratifiedDraws(by_source, settings.per_source, stream(seed, "training batches"))
        self.validation_draws = Cycle(len(validation), stream(seed, "validation batches"))
        self.layer_draws = (
            lisa.LayerDraws(len(lisa.find_layers(base)), layers.layers, layers.interval, stream(seed, "lisa layers"))
            if layers
            else None
        )
        self.logits = torch.zeros(self.count, dtype=torch.float64)
        self.optimizers = [
            torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=0.0)
            for model in (self.u, self.w)
        ]
        self.weight_optimizer = torch.optim.Adam([self.logits], lr=settings.weight_learning_rate)
        self.source_of_sample = torch.arange(self.count, device=self.device).repeat_interleave(settings.per_source)
        self.done = 0

    @property
    def weights(self) -> np.ndarray:
        """Current weights, shape [sources], summing to 1."""
        return softmax(self.logits).numpy()

    def step(self) -> Step:
        """One outer step. Returns what it saw before updating."""
        start = time.perf_counter()
        settings, k = self.settings, self.done
        resynced = bool(settings.resync_every and k and k % settings.resync_every == 0)
        if resynced:
            # w forgets the lead it won while λ was wrong (see docs/method.md, "resync").
            self.w.load_state_dict(self.u.state_dict())
            copy_state(*self.optimizers)
        drawn = self.layer_draws.at(k) if self.layer_draws else None
        if drawn is not None:
            for model, optimizer in zip((self.u, self.w), self.optimizers, strict=True):
                lisa.activate(model, drawn, self.lisa.embeddings)
                lisa.free_frozen(optimizer)
        examples = self.draws.next()
        held_out = [self.validation[i] for i in self.validation_draws.take(settings.validation_batch)]
        p = softmax(self.logits)
        # At least float32; a float64 model keeps its precision.
        p_loss = p.to(self.device, torch.promote_types(next(self.u.parameters()).dtype, torch.float32))
        factor = schedules.ramp_cosine(k, settings.steps, settings.ramp)

        share = p_loss[self.source_of_sample] / settings.per_source
        objective, losses_u = self.losses[0](self.collate(examples).to(self.device), share)
        source_u = group_means(losses_u, self.source_of_sample, self.count)
        self._descend(0, objective, factor)

        # One packed batch for both of w's terms: one forward and one backward pass.
        reference = torch.full((len(held_out),), 1 / len(held_out), device=self.device)
        coefficients = torch.cat([settings.alpha * share, reference]) / (1 + settings.alpha)
        objective, losses_w = self.losses[1](self.collate(examples + held_out).to(self.device), coefficients)
        source_w = group_means(losses_w[: len(examples)], self.source_of_sample, self.count)
        L1 = losses_w[len(examples) :].mean()
        self._descend(1, objective, factor)

        gap = (source_w - source_u).double().cpu()
        if not torch.isfinite(gap).all():
            raise UserError(
                f"The loss is not finite at step {k}: lower `learning_rate` of the method (now {settings.learning_rate})."
            )
        # Where u and w are equal the gap is rounding error, which Adam would blow up to a full-sized step.
        if k and not resynced:
            self.logits.grad = weight_gradient(p, gap, settings.alpha)
            self.weight_optimizer.param_groups[0]["lr"] = settings.weight_learning_rate * factor
            self.weight_optimizer.step()
        self.done += 1
        return Step(
            step=k,
            weights=p.numpy(),
            gap=gap.numpy(),
            L1=L1.item(),
            L2_w=(p_loss @ source_w).item(),
            L2_u=(p_loss @ source_u).item(),
            seconds=time.perf_counter() - start,
            peak_memory_gb=peak_memory_gb(),
        )

    def _descend(self, which: int, loss: torch.Tensor, factor: float) -> None:
        optimizer = self.optimizers[which]
        optimizer.param_groups[0]["lr"] = self.settings.learning_rate * factor
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()


def learn(bilevel: Bilevel, on_step: Callable[[Step], None] = lambda step: None) -> list[Step]:
    """Run the loop to its end and return what each step saw; the result is `bilevel.weights`."""
    history = []
    while bilevel.done < bilevel.settings.steps:
        history.append(bilevel.step())
        on_step(history[-1])
    return history


def prune(weights: np.ndarray, below: float) -> np.ndarray:
    """Set weights under `below` to zero and renormalise, shape [sources] (ours; docs/method.md, "resync").

    Raises UserError if nothing would be left.
    """
    kept = np.where(weights < below, 0.0, weights)
    if not kept.any():
        raise UserError(f"prune_below = {below} would remove every source; keep it well under 1 / number of sources.")
    return kept / kept.sum()
