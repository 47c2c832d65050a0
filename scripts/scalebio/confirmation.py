"""The check that a run's weights are right: gradient matching from the base, with the weights held fixed.

Stillness of the curve and agreement of seeds show nothing (docs/method.md). This does: train the base for some steps on
the weights in question, measure products of gradients on the way, and ask how much of the way from equal weights to the
best match the given ones go. Ours; threshold and hit rate are measured in docs/measured.md.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scalebio import lora, statistics
from scalebio.config_methods import ScaleBiO
from scalebio.gradient_match import Average, Matcher, Products
from scalebio.weighting import Problem

THRESHOLD = 0.05
# Products of so many steps are averaged, because neighbouring steps share Adam's second moments.
BLOCK, LEAST_BLOCKS = 5, 4
# Bytes of gradients up to which the check trains all parameters, whatever trained in the run that it judges.
WHOLE_GRADIENTS = 2 * 10**9
CONFIRMED, NOT_CONFIRMED = "confirmed", "not confirmed"


@dataclass(frozen=True)
class MatchRecipe:
    """How a model is trained while its gradients are matched; field meanings as in `config_methods.ScaleBiO`."""

    steps: int
    learning_rate: float
    per_source: int
    validation_batch: int
    ramp: int


@dataclass(frozen=True)
class Check:
    """Outcome: `ratio` (0: as good a match as can be, 1: no better than equal weights; None: undefined) and why."""

    ratio: float | None
    threshold: float
    reason: str

    @property
    def verdict(self) -> str:
        """`confirmed` or `not confirmed`; an undefined ratio confirms nothing."""
        return CONFIRMED if self.ratio is not None and self.ratio <= self.threshold else NOT_CONFIRMED

    @property
    def summary(self) -> dict:
        """For weights.json."""
        return {"ratio": self.ratio, "threshold": self.threshold, "verdict": self.verdict, "reason": self.reason}


def crosswise(blocks: list[Products]) -> list[tuple[Products, np.ndarray]]:
    """Each block with the best match [sources] of the half of the blocks that it is not in (even and odd ones).

    On the products it was found on, a best match beats the truth; on others it does not.
    """
    fitted = [mean(blocks[half::2]).solve() for half in (0, 1)]
    return [(block, fitted[1 - i % 2]) for i, block in enumerate(blocks)]


def mean(blocks: list[Products]) -> Products:
    """The mean of several products."""
    return Products(np.mean([b.gram for b in blocks], axis=0), np.mean([b.cross for b in blocks], axis=0))


def mismatch_ratio(blocks: list[Products], weights: np.ndarray) -> float | None:
    """(mismatch(λ) − min) / (mismatch(equal) − min) for weights [sources], measured crosswise over `blocks`.

    None where the best match does not beat equal weights beyond noise (95 % t-interval over blocks): sources that cannot
    be told apart give no scale to measure on. Negative where λ beats what one half of the blocks finds.
    """
    equal, pairs = np.full(len(weights), 1 / len(weights)), crosswise(blocks)
    spans = [block.mismatch(equal) - block.mismatch(best) for block, best in pairs]
    if statistics.mean_interval(spans).low <= 0:
        return None
    above = [block.mismatch(weights) - block.mismatch(best) for block, best in pairs]
    return float(np.mean(above) / np.mean(spans))


def confirm(
    matcher: Matcher,
    weights: np.ndarray,
    steps: int,
    threshold: float = THRESHOLD,
    on_step: Callable[[int], None] = lambda step: None,
) -> Check:
    """Run `matcher`, which stands at the base, for `steps` steps on `weights` [sources] and judge them."""
    averages: dict[int, Average] = {}
    for k in range(steps):
        seen = matcher.step(weights)
        if seen is not None:
            averages.setdefault(k // BLOCK, Average()).add(*seen)
        on_step(k)
    if len(averages) < LEAST_BLOCKS:
        return Check(None, threshold, f"{steps} steps are too few to judge by; take {LEAST_BLOCKS * BLOCK} or more")
    ratio = mismatch_ratio([average.value for average in averages.values()], weights)
    if ratio is None:
        return Check(None, threshold, "no weights match the validation gradient better than equal ones beyond noise")
    return Check(ratio, threshold, f"mismatch is {ratio:.3f} of the way from the best match to equal weights")


def recipe(settings: ScaleBiO) -> MatchRecipe:
    """How the check trains: as the run whose weights it judges.

    The validation batch is three times as large: its noise is in every cross product, and one pass of it is little
    beside two passes for each source.
    """
    return MatchRecipe(
        settings.steps,
        settings.learning_rate,
        max(settings.per_source, 2),
        3 * settings.validation_batch,
        settings.ramp,
    )


def confirm_run(problem: Problem, settings: ScaleBiO, seed: int, weights: np.ndarray) -> dict:
    """{"check": …} for the weights [sources] of a run, by its own settings; {} where `check_steps` is 0."""
    if not settings.check_steps:
        return {}
    if problem.parallel.shard:
        # It holds a whole model and a gradient for each source in one process.
        reason = "no check was made: the model is split over processes (`hardware.shard`)"
        return {"check": Check(None, THRESHOLD, reason).summary}
    # The loop trained the base it was given, so the check loads it again.
    model = problem.load_model().to(problem.parallel.device)
    # One gradient for each source, one of the validation loss, one of the step.
    needed = (len(problem.sources) + 2) * 4 * sum(parameter.numel() for parameter in model.parameters())
    whole = needed <= WHOLE_GRADIENTS
    if whole:
        lora.remove(model)
    matcher = Matcher(
        model,
        problem.by_source,
        problem.validation,
        recipe(settings),
        seed,
        problem.row_length,
        # Of a few layers at a time it sees little, so it sees them all where that fits.
        None if whole else problem.layers,
    )

    def report(step: int) -> None:
        problem.progress(step + 1, steps, "check of the weights by gradient matching")

    steps = min(settings.check_steps, settings.steps)
    return {"check": confirm(matcher, weights, steps, on_step=report).summary}
