"""Intervals and tests for learned weights as what they are: shares of a whole, of which seeds show a few draws.

Shares lie between 0 and 1 and sum to 1, so plain means and t-intervals of them leave that range and count the same doubt
several times over. Everything here is computed on log ratios (Aitchison 1986), where there are no such bounds, and mapped
back. Shares below half a row of the mixture are raised to it first, and the others lowered in proportion (multiplicative
replacement, Martín-Fernández et al. 2003): pruned sources have no logarithm, and less than half a row buys none.

One source has its log odds, log(p / (1 − p)): the log ratio of it to all others together. Unlike the centred log ratio it
does not move when two *other* sources trade what little they have. The test of all at once uses isometric log ratios.

What a seed varies decides what an interval covers. Batches, layers and the like are noise that a mean over n runs
averages out, so its variance is s²/n. A validation set drawn again for each run (`resampled`) is not: the bootstrap draws imitate
the one draw that made the set itself, whose luck all n runs share, so its variance stays: s² (1 + 1/n). That also
counts the noise of one run in full, as it cannot be told apart, and errs on the wide side.
"""

from typing import NamedTuple

import numpy as np
from scipy.linalg import helmert
from scipy.special import expit, logit
from scipy.stats import f as f_distribution
from scipy.stats import t as t_distribution

from scalebio.statistics import Interval, mean_interval, total_variation

LEVEL = 0.95
FEWEST = 3
DIFFERENT, UNCLEAR, FIXED, TOO_FEW = (
    "different",
    "not distinguishable",
    "the same on every seed",
    "too few seeds to say",
)
HOTELLING, UNIVARIATE = "Hotelling's T²", "t-tests by source, Holm"


class Test(NamedTuple):
    """A test of weights against given shares: which one, its p-value (NaN where there is none) and the verdict."""

    name: str
    p: float
    verdict: str


class Change(NamedTuple):
    """Rows of the mixture (of all `rows`) that would be of another source: from the reference with the ends of its 95 %
    t-interval over seeds, between two seeds on average, and between two random draws with the same weights on average.
    """

    from_reference: float
    low: float
    high: float
    between_seeds: float
    by_chance: float
    verdict: str


def smallest_share(rows: int) -> float:
    """Half a row of a mixture of `rows`."""
    return 0.5 / rows


def lift(shares: np.ndarray, smallest: float) -> np.ndarray:
    """`shares` [..., sources] with those below `smallest` raised to it and the others scaled down; they sum to 1 again."""
    shares = np.asarray(shares, dtype=float)
    low = shares < smallest
    rest = np.where(low, 0.0, shares)
    taken = low.sum(axis=-1, keepdims=True) * smallest
    return np.where(low, smallest, rest * (1 - taken) / rest.sum(axis=-1, keepdims=True))


def _widening(runs: int, resampled: bool) -> float:
    """By what the t-interval of a mean is to be multiplied, so that its variance is s² (1 + 1/n) and not s²/n."""
    return float(np.sqrt(1 + runs)) if resampled else 1.0


def share_intervals(weights: np.ndarray, smallest: float, resampled: bool = False) -> list[Interval]:
    """For each source the share in the middle of the log odds and the ends of its 95 % t-interval, mapped back to shares.

    `weights` [runs, sources], each row summing to 1. With one run the ends are NaN; a source with the same share in all runs
    has an interval of no width there, at 0 if it was pruned in all.
    """
    weights = np.asarray(weights, dtype=float)
    odds = logit(lift(weights, smallest))
    found = []
    for shares, values in zip(weights.T, odds.T, strict=True):
        if len(shares) > 1 and np.ptp(shares) < 1e-12:
            found.append(Interval(shares[0], shares[0], shares[0], len(shares)))
            continue
        mean, low, high, runs = mean_interval(values, LEVEL)
        wide = _widening(runs, resampled)
        ends = (mean, mean + (low - mean) * wide, mean + (high - mean) * wide)
        found.append(Interval(*(float(expit(end)) for end in ends), runs))
    return found


def differs(weights: np.ndarray, reference: np.ndarray, smallest: float, resampled: bool = False) -> Test:
    """Whether `weights` [runs, sources] have another centre than the shares `reference` [sources], at 5 %.

    With more runs than sources Hotelling's T² on isometric log ratios. With fewer the covariance has no inverse, nor where a source
    is pruned on every run, and a sign-flip test cannot reach 5 % before six runs; so one t-test a source on its log odds, and the
    smallest p of them by Holm (which for "any source at all" is Bonferroni's). A source that ends at the same share on every run,
    another one than the reference's, has p = 0. Under three runs nothing is said.
    """
    weights = np.asarray(weights, dtype=float)
    runs, sources = weights.shape
    if runs < FEWEST:
        return Test("", np.nan, TOO_FEW)
    if np.ptp(weights, axis=0).max() < 1e-12:
        return Test("", np.nan, FIXED)
    wide = _widening(runs, resampled) ** 2
    basis = helmert(sources).T  # orthonormal, each column sums to 0: [sources, sources - 1]
    points = (np.log(lift(weights, smallest)) - np.log(lift(reference, smallest))) @ basis
    covariance, count = np.atleast_2d(np.cov(points.T)), sources - 1
    if runs > sources and np.linalg.matrix_rank(covariance) == count:
        mean = points.mean(axis=0)
        squared = runs / wide * float(mean @ np.linalg.solve(covariance, mean))
        p = float(f_distribution.sf(squared * (runs - count) / (count * (runs - 1)), count, runs - count))
        return Test(HOTELLING, p, DIFFERENT if p < 1 - LEVEL else UNCLEAR)
    p = min(1.0, float(min(source_p_values(weights, reference, smallest, resampled))))
    return Test(UNIVARIATE, p, DIFFERENT if p < 1 - LEVEL else UNCLEAR)


def source_p_values(weights: np.ndarray, reference: np.ndarray, smallest: float, resampled: bool = False) -> np.ndarray:
    """Holm-adjusted p-values [sources] of t-tests of each source's log odds against the reference's; NaN under three runs."""
    odds = logit(lift(weights, smallest)) - logit(lift(reference, smallest))
    runs, sources = odds.shape
    if runs < FEWEST:
        return np.full(sources, np.nan)
    mean, spread = odds.mean(axis=0), odds.std(axis=0, ddof=1)
    error = spread / np.sqrt(runs) * _widening(runs, resampled)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(np.abs(mean) < 1e-12, 0.0, np.abs(mean) / error)
    raw = 2 * t_distribution.sf(ratio, runs - 1)
    order = np.argsort(raw)
    adjusted = np.minimum(1.0, np.maximum.accumulate(raw[order] * np.arange(sources, 0, -1)))
    return adjusted[np.argsort(order)]


def sample_change(weights: np.ndarray, reference: np.ndarray, rows: int, resampled: bool = False) -> Change:
    """Whether `weights` [runs, sources] ask for other rows than `reference` [sources], in a mixture of `rows`.

    The interval counts a shared validation set in as that of the shares does (`resampled`).

    Rows are drawn by rounding (`mixture.draw`), so any difference of half a row counts; what chance would make of the same
    weights, if each row's source were drawn at random, is there as a measure of what could not matter. The verdict: `yes`, where
    the lower end exceeds both what seeds and what chance differ by; `no`, where the upper end exceeds neither; else `unclear`.
    """
    weights = np.asarray(weights, dtype=float)
    runs = len(weights)
    mean, low, high, _ = mean_interval([rows * total_variation(row, reference) for row in weights], LEVEL)
    low, high = (mean + (end - mean) * _widening(runs, resampled) for end in (low, high))
    pairs = [rows * total_variation(weights[i], weights[j]) for i in range(runs) for j in range(i)]
    between = float(np.mean(pairs)) if pairs else np.nan
    centre = weights.mean(axis=0)
    # E|X − Y| / 2 of two binomials, by the normal approximation, summed over sources.
    chance = float(np.sqrt(rows * centre * (1 - centre) / np.pi).sum())
    least = np.nanmax([between, chance])
    if runs < FEWEST:
        verdict = TOO_FEW
    else:
        verdict = "yes" if low > least else "no" if high <= least else "unclear"
    return Change(mean, max(low, 0.0), high, between, chance, verdict)
