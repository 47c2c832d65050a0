"""Regret against the best of a trained grid, without the luck of the best.

The smallest of many noisy losses is too small: it was chosen for its noise as well ("winner's curse"), so regret against it
is too large, also for a point that is as good as any. Here the point is chosen on some training seeds and its loss taken on
others: choice and noise are then independent, and the loss is that of the point, no less. The chosen point may still not
be the best of all, so what is left of the error is to a method's favour; `crossed_minimum` does the same within the
lattice, with every seed once left out, so that both can be compared.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from scalebio.statistics import mean_interval


class Regret(NamedTuple):
    """Regret in nats with the ends of its 95 % t-interval over training seeds, and all three as shares of uniform's."""

    nats: float
    low: float
    high: float
    share: float
    share_low: float
    share_high: float


def best_point(losses: np.ndarray) -> int:
    """Which of `losses` [points, seeds] has the least mean; the first of equal ones."""
    return int(np.argmin(losses.mean(axis=1)))


def naive_minimum(losses: np.ndarray) -> float:
    """The least mean over seeds of `losses` [points, seeds]: too small on average."""
    return float(losses.mean(axis=1).min())


def crossed_minimum(losses: np.ndarray) -> float:
    """Mean over seeds of the loss, with that seed, of the point chosen by all others. `losses` [points, at least 2 seeds]."""
    found = [losses[best_point(np.delete(losses, seed, axis=1)), seed] for seed in range(losses.shape[1])]
    return float(np.mean(found))


def regret(losses: np.ndarray, best: np.ndarray, uniform: np.ndarray) -> Regret:
    """Regret of a mixture with `losses` [seeds] beside those of the chosen point and of equal weights with the same seeds.

    Differences are paired by seed. Shares take the gap from `best` to `uniform` as known; it is many times its error.
    """
    gap = float(uniform.mean() - best.mean())
    nats = mean_interval(losses - best)[:3]
    return Regret(*nats, *(value / gap for value in nats))


def noise_floor(*repeats: np.ndarray) -> float:
    """How far the means of two runs of one mixture lie apart by training noise alone, in nats: in 95 % of cases less.

    `repeats`: losses [seeds] of each anchor; their variances are pooled. Not paired by seed, so it is no less than what paired
    differences show.
    """
    seeds = len(repeats[0])
    variance = np.mean([np.var(losses, ddof=1) for losses in repeats])
    freedom = len(repeats) * (seeds - 1)
    return float(stdtrit(freedom, 0.975) * np.sqrt(2 * variance / seeds))
