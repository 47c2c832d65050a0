"""Means, intervals and comparisons over seeds, and how far weights lie apart: what the tables say and the figures draw.

All intervals are Student t-intervals. With one value there is no interval: its ends are NaN, never a made-up number.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

BETTER, WORSE, UNCLEAR = "better", "worse", "not distinguishable"


class Interval(NamedTuple):
    """A mean with the ends of its interval; both ends are NaN where n is 1."""

    mean: float
    low: float
    high: float
    n: int


class Difference(NamedTuple):
    """A mean paired difference (method minus baseline) with its interval, number of pairs and verdict."""

    mean: float
    low: float
    high: float
    n: int
    verdict: str


def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """The mean of `values` (n finite numbers) and its two-sided t-interval.

    Raises ValueError when there is no value or one that is not finite.
    """
    data = np.asarray(values, dtype=float)
    if data.size == 0 or not np.isfinite(data).all():
        raise ValueError(f"mean_interval needs finite values, at least one; got {data.tolist()}")
    mean = float(data.mean())
    if data.size == 1:
        return Interval(mean, math.nan, math.nan, 1)
    half = float(stdtrit(data.size - 1, (1 + level) / 2) * data.std(ddof=1) / math.sqrt(data.size))
    return Interval(mean, mean - half, mean + half, int(data.size))


def paired_difference(
    method: Mapping[object, float],
    baseline: Mapping[object, float],
    *,
    lower_is_better: bool = True,
    level: float = 0.95,
) -> Difference:
    """Method minus baseline over the keys (seeds) that both have, with a t-interval and a verdict.

    The verdict is "better" or "worse" only where the interval leaves out zero; with one pair it is always
    "not distinguishable". Raises ValueError when no key is shared.
    """
    shared = [key for key in method if key in baseline]
    mean, low, high, n = mean_interval([method[key] - baseline[key] for key in shared], level)
    if low > 0 or high < 0:
        verdict = BETTER if (mean < 0) == lower_is_better else WORSE
    else:
        verdict = UNCLEAR
    return Difference(mean, low, high, n, verdict)


def spread(values: Sequence[float]) -> float:
    """Largest minus smallest value; NaN for fewer than two, because one seed shows no spread."""
    return float(max(values) - min(values)) if len(values) > 1 else math.nan


def exceeds_spread(method: Sequence[float], baseline: Sequence[float]) -> bool:
    """Whether the means lie further apart than the larger of the two spreads over seeds.

    False where neither has two values: without a spread nothing can exceed it.
    """
    spreads = [value for value in (spread(method), spread(baseline)) if not math.isnan(value)]
    return bool(spreads) and abs(float(np.mean(method)) - float(np.mean(baseline))) > max(spreads)


def total_variation(p: np.ndarray, q: np.ndarray) -> float:
    """Half the sum of absolute differences of two distributions: the share of a mixture that would have to move; 0 equal, 1 disjoint."""
    return float(np.abs(np.asarray(p) - q).sum() / 2)
