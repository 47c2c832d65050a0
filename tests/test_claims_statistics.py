"""The statistics behind verdicts on claims against their definitions."""

import itertools

import numpy as np
import pytest
from scipy import stats

from scalebio.claims import NOT_REPRODUCED, REPRODUCED, UNDECIDED, listing, measures, verdicts


@pytest.mark.parametrize(
    ("low", "high", "verdict_below", "verdict_above"),
    [
        (-2, -1, REPRODUCED, NOT_REPRODUCED),
        (1, 2, NOT_REPRODUCED, REPRODUCED),
        (-1, 1, UNDECIDED, UNDECIDED),
        (-1, 0, UNDECIDED, NOT_REPRODUCED),
        (0, 1, NOT_REPRODUCED, UNDECIDED),
        (np.nan, np.nan, UNDECIDED, UNDECIDED),
    ],
)
def test_a_verdict_needs_the_whole_interval_on_one_side(low, high, verdict_below, verdict_above):
    assert verdicts.decide(low, high, listing.Band(below=0, words="w"))[0] == verdict_below
    assert verdicts.decide(low, high, listing.Band(above=0, words="w"))[0] == verdict_above


def holm_by_hand(p_values, alpha=0.05):
    """Names that Holm's step-down procedure rejects, from its definition."""
    rejected = set()
    for place, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        if p >= alpha / (len(p_values) - place):
            break
        rejected.add(name)
    return rejected


def test_intervals_leave_zero_out_exactly_where_holm_rejects():
    generator, sizes = np.random.default_rng(0), set()
    for _ in range(150):
        own = dict(enumerate(generator.normal(0, 1, 5)))
        others = {
            name: dict(enumerate(generator.normal(shift, 1, 5)))
            for name, shift in zip("abcd", (0, 2, 3, 4), strict=True)
        }
        p_values = {
            name: stats.ttest_rel([*own.values()], [*values.values()]).pvalue for name, values in others.items()
        }
        assert {name: verdicts.paired_p(own, values) for name, values in others.items()} == pytest.approx(p_values)
        found = verdicts.holm(own, others)
        rejected = {name for name, (gap, _) in found.items() if gap.low > 0 or gap.high < 0}
        assert rejected == holm_by_hand(p_values) and list(found) == list("abcd")
        # A single comparison needs no correction, so the widest interval is that of the smallest p.
        assert found[min(p_values, key=p_values.get)][1] == pytest.approx(1 - 0.05 / 4)
        sizes.add(len(rejected))
    assert sizes >= {0, 1, 2, 3}


def test_one_pair_has_no_interval_and_pairs_all_alike_have_one_of_no_width():
    found = verdicts.holm({0: 1.0, 1: 2.0}, {"a": {0: 0.5}, "b": {0: 2.0, 1: 3.0}, "c": {0: 1.0, 1: 2.0}})
    assert np.isnan(found["a"][0].low)
    assert found["b"][0][:3] == (-1, -1, -1) and found["c"][0][:3] == (0, 0, 0)


def apart_by_pairs(first, second):
    """Mean distance between models minus mean distances between seeds of one, pair by pair."""

    def mean(pairs):
        return np.mean([np.abs(p - q).sum() / 2 for p, q in pairs])

    within = [mean(list(itertools.combinations(group, 2))) for group in (first, second)]
    return mean(list(itertools.product(first, second))) - sum(within) / 2


def test_distance_of_models_beyond_seeds_agrees_with_its_definition_and_is_zero_on_average_for_one_model():
    generator, values, covered = np.random.default_rng(1), [], []
    for _ in range(300):
        first, second = generator.dirichlet([4, 2, 1], (2, 5))
        value, low, high = measures.apart_interval(first, second)
        values.append(value)
        covered.append(low <= 0 <= high)
    assert value == pytest.approx(apart_by_pairs(first, second))
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(300)
    assert np.mean(covered) > 0.9
    # Without spread it is the total variation itself.
    p, q = np.tile([0.5, 0.5, 0], (4, 1)), np.tile([0.2, 0.5, 0.3], (4, 1))
    assert measures.apart_interval(p, q) == pytest.approx((0.3, 0.3, 0.3))


def test_the_jackknife_interval_covers_a_true_distance():
    """Weights (x, 1 - x), x normal: the expected distance of two models is that of normals, known by integration."""
    generator, shift, sd, covered = np.random.default_rng(2), 0.2, 0.05, []
    # E|N(d, 2 sd²)| for d = shift, and for d = 0.
    scale = sd * np.sqrt(2)
    between = stats.foldnorm.mean(shift / scale, scale=scale)
    truth = between - stats.foldnorm.mean(0, scale=scale)
    for _ in range(400):
        x, y = generator.normal(0.3, sd, 5), generator.normal(0.3 + shift, sd, 5)
        _, low, high = measures.apart_interval(np.stack([x, 1 - x], 1), np.stack([y, 1 - y], 1))
        covered.append(low <= truth <= high)
    assert 0.9 < np.mean(covered) <= 1
