"""Classic bilevel optimisation: λ follows the derivative of the validation loss through, or at the end of, training.

One update: draw examples; take `inner_steps` steps of plain gradient descent of w on Σ p_i l_i(w), p = softmax(λ); take
dL1(w)/dλ through those steps or implicitly (`hypergradient`, whose references these are); one Adam step of λ on it. The
next update starts at the w reached, so what λ did before is not differentiated through: the truncation that DARTS (Liu et
al. 2019, arXiv 1806.09055) and truncated unrolling make too. DARTS steps again with the new λ; here the step just taken
stands, which saves a pass and differs by the product of both learning rates. Implicit differentiation takes the w reached
for the minimum, and `damping` is added to the Hessian, which on a language model has negative eigenvalues; where that is not
enough, damping rises tenfold for the rest of the run. The more of it, the nearer to plain gradient alignment ∇l_i · ∇L1.

All parameters train, whatever LISA says: a derivative through layers that come and go is not that of the problem. Reverse
mode keeps each step's w, not its graph (`hypergradient.unrolled`), so memory is `inner_steps` + 8 copies of the
parameters and one graph with plain attention; conjugate gradients take six in float64.
"""

from dataclasses import dataclass

import numpy as np
import torch

from scalebio import flat_losses, schedules
from scalebio import hypergradient as hg
from scalebio.batching import Cycle, StratifiedDraws
from scalebio.bilevel import prune, softmax
from scalebio.config_methods import ExactBilevel
from scalebio.errors import UserError
from scalebio.streams import stream
from scalebio.weighting import Outcome, Problem, Spent, weight_rows

# Ten inner steps then keep 18 copies, 3.6 GB in float32; a product with the Hessian costs some four passes.
MOST_PARAMETERS = 50_000_000
# Products with the Hessian before conjugate gradients count as failed, and how far damping may then rise.
MOST_PRODUCTS, MOST_DAMPING = 100, 1e6


@dataclass(frozen=True)
class Descended:
    """w after an update's inner steps, shape [parameters], and dL1/dλ there, shape [sources], float64."""

    w: torch.Tensor
    gradient: torch.Tensor


def unrolled(losses: hg.Losses, p: torch.Tensor, steps: int, rate: float) -> Descended:
    """Inner steps of learning rate `rate` from `losses.base` at weights p [sources], differentiated through."""
    return Descended(*hg.unrolled(hg.Problem(losses, ridge=0.0), p, [steps], rate, momentum=0.0)[steps])


def implicit(
    losses: hg.Losses, p: torch.Tensor, steps: int, rate: float, damping: float, tolerance: float
) -> Descended:
    """The same steps, and −∇l_i · (H + damping)⁻¹ ∇L1 at the w reached, through the softmax.

    Raises UserError if conjugate gradients do not converge, as when H + damping is not positive definite.
    """
    plain, w = hg.Problem(losses, ridge=0.0), losses.base
    for _ in range(steps):
        w = w - rate * hg.gradient(lambda at: plain.lower(at, p), w)
    # A ridge around w itself: no slope there, and its curvature is the damping.
    return Descended(w, hg.implicit(hg.Problem(losses, damping, centre=w), p, w, tolerance, MOST_PRODUCTS))


class ExactLoop:
    """λ, its Adam state and the damping in force; `step(losses)` makes one update from `losses.base`."""

    def __init__(self, settings: ExactBilevel, count: int):
        self.settings, self.done, self.damping = settings, 0, settings.damping
        self.logits = torch.zeros(count, dtype=torch.float64)
        self.optimizer = torch.optim.Adam([self.logits], lr=settings.weight_learning_rate)

    @property
    def weights(self) -> np.ndarray:
        """Current weights, shape [sources], summing to 1."""
        return softmax(self.logits).numpy()

    def step(self, losses: hg.Losses) -> torch.Tensor:
        """One update; returns the w it ends at. Raises UserError if that or the gradient is not finite."""
        settings, k = self.settings, self.done
        factor = schedules.ramp_cosine(k, settings.steps, settings.ramp)
        p, rate = softmax(self.logits), settings.learning_rate * factor
        if settings.hypergradient == "implicit":
            seen = self._implicit(losses, p, rate)
        else:
            seen = unrolled(losses, p, settings.inner_steps, rate)
        if not (torch.isfinite(seen.w).all() and torch.isfinite(seen.gradient).all()):
            raise UserError(self._not_finite())
        self.logits.grad = seen.gradient
        self.optimizer.param_groups[0]["lr"] = settings.weight_learning_rate * factor
        self.optimizer.step()
        self.done += 1
        return seen.w

    def _implicit(self, losses: hg.Losses, p: torch.Tensor, rate: float) -> Descended:
        """With ten times the damping, for the rest of the run, as often as conjugate gradients ask for it."""
        settings = self.settings
        while True:
            try:
                return implicit(losses, p, settings.inner_steps, rate, self.damping, settings.tolerance)
            except UserError as error:
                self.damping *= 10
                if self.damping > MOST_DAMPING * settings.damping:
                    raise UserError(self._not_finite()) from error

    def _not_finite(self) -> str:
        return (
            f"step {self.done}: the model or the gradient of λ is not finite, or no damping helps. Lower `learning_rate` "
            f"(now {self.settings.learning_rate:g}), which is that of plain gradient descent."
        )


def learn(problem: Problem, settings: ExactBilevel, seed: int) -> Outcome:
    """Weights of the last update, pruned if asked. Trains the base in place, all of it, on one process.

    Extra: `final` (unpruned), and `damping` in force at the end where that plays a part. A second derivative counts as one more backward pass in `spent`. Raises UserError for a
    model of more than MOST_PARAMETERS parameters or more than one process.
    """
    _check(problem, settings)
    loss = flat_losses.ready(problem.model.to(problem.parallel.device))
    draws = StratifiedDraws(problem.by_source, settings.per_source, stream(seed, "exact training batches"))
    validation_draws = Cycle(len(problem.validation), stream(seed, "exact validation batches"))
    loop, spent, w = ExactLoop(settings, len(problem.sources)), Spent(), None
    rows = weight_rows(0, problem.sources, loop.weights)
    for k in range(settings.steps):
        drawn, size, before = draws.next(), settings.per_source, spent.forward_tokens
        by_source = [drawn[i : i + size] for i in range(0, len(drawn), size)]
        held_out = [problem.validation[i] for i in validation_draws.take(settings.validation_batch)]
        losses = flat_losses.FlatLosses(loss, by_source, held_out, problem.row_length, w)
        w = loop.step(losses)
        spent.forward(losses.forward_tokens)
        spent.backward_tokens += losses.backward_tokens
        rows += weight_rows(k + 1, problem.sources, loop.weights)
        top = int(loop.weights.argmax())
        text = f"largest weight {problem.sources[top]} {loop.weights[top]:.3f}"
        problem.progress(k + 1, settings.steps, text, spent.forward_tokens - before)
    final = loop.weights
    named = dict(zip(problem.sources, final.tolist(), strict=True))
    extra = {"final": named} | ({"damping": loop.damping} if settings.hypergradient == "implicit" else {})
    return Outcome(prune(final, settings.prune_below), rows, extra, spent)


def _check(problem: Problem, settings: ExactBilevel) -> None:
    if problem.parallel.world > 1:
        raise UserError(
            f"The method `exact_bilevel` runs on one process, and this job has {problem.parallel.world}: give its model "
            "`hardware` with one process, or take `scalebio`, which shares its work."
        )
    count = sum(parameter.numel() for parameter in problem.model.parameters())
    if count > MOST_PARAMETERS:
        raise UserError(
            f"The model has {count / 1e6:.0f} million parameters, and `exact_bilevel` takes at most "
            f"{MOST_PARAMETERS // 10**6}: it differentiates twice and would keep {settings.inner_steps + 8} copies of them. "
            "Take a smaller model, or `scalebio` or `gradient_matching`, which need first derivatives only."
        )
