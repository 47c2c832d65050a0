"""From a number with its interval to a verdict, and Holm's correction where several are compared.

A claim is reproduced where the whole interval lies in the band, not reproduced where all of it lies outside, and undecided
where it straddles the band's limit, or where there is no interval.
"""

from collections.abc import Mapping
from math import isnan, nan
from typing import NamedTuple

import numpy as np
from scipy.special import stdtr

from scalebio import statistics
from scalebio.claims import NOT_REPRODUCED, REPRODUCED, UNDECIDED
from scalebio.claims.listing import Band


class Missing(Exception):
    """What a test needs and the study does not have; its text ends the verdict `not run: ...`."""


class Found(NamedTuple):
    """One measured number: value, ends of its interval (NaN where there is none), what it is, against what, and remarks."""

    value: float
    low: float
    high: float
    quantity: str
    against: str = ""
    why: str = ""


def decide(low: float, high: float, band: Band) -> tuple[str, str]:
    """Verdict and its reason for an interval, whose ends are NaN where there is none."""
    if isnan(low) or isnan(high):
        return UNDECIDED, "no interval"
    if band.below is not None:
        inside, outside = high < band.below, low >= band.below
    else:
        inside, outside = low > band.above, high <= band.above
    if inside:
        return REPRODUCED, "the whole interval lies in the band"
    return (
        (NOT_REPRODUCED, "the whole interval lies outside the band")
        if outside
        else (
            UNDECIDED,
            "the interval straddles the limit of the band",
        )
    )


def paired_p(first: Mapping[int, float], second: Mapping[int, float]) -> float:
    """Two-sided p of a paired t-test over the keys that both have; NaN with fewer than two pairs.

    Pairs that all differ by the same amount have p = 0, or 1 where that is nothing.
    """
    gaps = np.array([first[key] - second[key] for key in first if key in second])
    if len(gaps) < 2:
        return nan
    error = gaps.std(ddof=1) / np.sqrt(len(gaps))
    if error == 0:
        return float(gaps.mean() == 0)
    return float(2 * stdtr(len(gaps) - 1, -abs(gaps.mean() / error)))


def holm(
    own: Mapping[int, float], others: Mapping[str, Mapping[int, float]], alpha: float = 0.05
) -> dict[str, tuple[statistics.Difference, float]]:
    """Own minus each other's values, paired by key, with intervals at the levels that Holm's procedure gives them.

    Returns {other: (difference, level)}. Of m others the one with the smallest p gets level 1 − α/m, the next 1 − α/(m − 1), …;
    from the first interval that holds 0 on, all get that one's level, so that an interval leaves 0 out exactly where Holm's
    procedure (1979, Scandinavian Journal of Statistics 6, 65) rejects. Others with one pair come last, without an interval.
    """
    ranked = sorted(others, key=lambda name: (isnan(p := paired_p(own, others[name])), p))
    result, level, stopped = {}, 1 - alpha, False
    for place, name in enumerate(ranked):
        if not stopped:
            level = 1 - alpha / (len(ranked) - place)
            stopped = not paired_p(own, others[name]) < alpha / (len(ranked) - place)
        result[name] = statistics.paired_difference(own, others[name], level=level), level
    return {name: result[name] for name in others}
