"""Intervals and verdicts against scipy's own t-tests and against cases worked by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from scalebio import statistics

SAMPLES = [[1.0, 2.0], [0.3, 0.1, 0.25], [5.0, 5.1, 4.9, 5.05, 4.95], list(np.random.default_rng(0).normal(size=40))]


@pytest.mark.parametrize("values", SAMPLES)
@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_mean_interval_is_scipys_t_interval(values, level):
    low, high = stats.t.interval(level, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    assert statistics.mean_interval(values, level) == pytest.approx((np.mean(values), low, high, len(values)))


def test_one_value_has_no_interval():
    mean, low, high, n = statistics.mean_interval([2.5])
    assert (mean, n) == (2.5, 1) and math.isnan(low) and math.isnan(high)


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_no_values_or_unfinite_ones_are_refused(values):
    with pytest.raises(ValueError, match="finite values"):
        statistics.mean_interval(values)


def test_paired_difference_agrees_with_scipys_paired_test():
    rng = np.random.default_rng(1)
    for shift in (-1.0, -0.05, 0.0, 0.05, 1.0):
        base = rng.normal(size=6)
        other = base + shift + 0.1 * rng.normal(size=6)
        ours = statistics.paired_difference(dict(enumerate(other)), dict(enumerate(base)))
        test = stats.ttest_rel(other, base)
        theirs = test.confidence_interval(0.95)
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))
        assert (ours.verdict != statistics.UNCLEAR) == (test.pvalue < 0.05)


def test_verdict_follows_the_direction_that_is_better():
    low, high = {0: 1.0, 1: 1.1, 2: 1.0}, {0: 2.0, 1: 2.1, 2: 2.05}
    assert statistics.paired_difference(low, high).verdict == "better"
    assert statistics.paired_difference(high, low).verdict == "worse"
    assert statistics.paired_difference(low, high, lower_is_better=False).verdict == "worse"
    assert statistics.paired_difference(low, {0: 2.0, 1: 0.2, 2: 1.0}).verdict == "not distinguishable"
    assert statistics.paired_difference(low, low).verdict == "not distinguishable"


def test_pairs_are_made_by_seed_not_by_order():
    paired = statistics.paired_difference({2: 12.0, 0: 10.0, 5: 99.0}, {0: 9.0, 1: 50.0, 2: 11.0})
    assert paired == (1.0, 1.0, 1.0, 2, "worse")


def test_one_pair_decides_nothing_and_none_is_refused():
    assert statistics.paired_difference({0: 1.0}, {0: 9.0}).verdict == "not distinguishable"
    with pytest.raises(ValueError):
        statistics.paired_difference({0: 1.0}, {1: 1.0})


def test_exceeds_spread_by_hand():
    assert statistics.spread([1.0, 1.5, 1.2]) == 0.5 and math.isnan(statistics.spread([1.0]))
    assert statistics.exceeds_spread([1.0, 1.2], [2.0, 2.5])  # gap 1.15, spreads 0.2 and 0.5
    assert not statistics.exceeds_spread([1.0, 1.2], [1.3, 1.9])  # gap 0.5, spreads 0.2 and 0.6
    assert not statistics.exceeds_spread([1.0], [9.0])
