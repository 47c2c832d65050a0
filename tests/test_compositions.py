"""Intervals and tests for weights: against scipy, against known truths in simulation, and by hand."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit, logit

from scalebio import compositions
from scalebio.compositions import DIFFERENT, FIXED, HOTELLING, TOO_FEW, UNIVARIATE
from scalebio.tables import intervals, runs, summary
from scalebio.tables.runs import Run
from scalebio.weighting import Problem

CENTRE = np.log([0.5, 0.3, 0.15, 0.05])
SMALLEST = compositions.smallest_share(2000)


def logistic_normal(rng, centre, spread, *shape):
    """Compositions [*shape, sources] whose log ratios are normal, with sources that move together."""
    noise = rng.normal(size=(*shape, len(centre)))
    noise[..., 0] += 0.5 * noise[..., 1]
    raw = np.exp(centre + spread * noise)
    return raw / raw.sum(axis=-1, keepdims=True)


def coverage(samples, truth, **options):
    """Share of the samples [n, runs, sources] whose interval holds `truth` [sources], by source."""
    hits = [
        [low <= value <= high for (_, low, high, _), value in zip(found, truth, strict=True)]
        for found in (compositions.share_intervals(sample, SMALLEST, **options) for sample in samples)
    ]
    return np.mean(hits, axis=0)


def test_what_is_under_half_a_row_is_raised_and_the_rest_keeps_its_ratios():
    lifted = compositions.lift([[0.6, 0.3, 0.1, 0.0, 0.0]], 0.01)
    np.testing.assert_allclose(lifted, [[0.588, 0.294, 0.098, 0.01, 0.01]])
    np.testing.assert_array_equal(compositions.lift([0.5, 0.5], 0.01), [0.5, 0.5])
    np.testing.assert_allclose(compositions.lift([1.0, 0, 0], SMALLEST), [1 - 2 * SMALLEST, SMALLEST, SMALLEST])


def test_intervals_are_scipys_on_log_odds():
    weights = logistic_normal(np.random.default_rng(0), CENTRE, 0.4, 5)
    for source, found in enumerate(compositions.share_intervals(weights, SMALLEST)):
        odds = logit(weights[:, source])
        ends = stats.t.interval(0.95, 4, loc=odds.mean(), scale=stats.sem(odds))
        assert found == pytest.approx((expit(odds.mean()), *expit(ends), 5))
    (mean, low, high, count), *_ = compositions.share_intervals(weights[:1], SMALLEST)
    assert mean == pytest.approx(weights[0, 0]) and np.isnan([low, high]).all() and count == 1


@pytest.mark.parametrize("runs_made", [3, 6])
def test_intervals_hold_a_known_truth_as_often_as_they_say(runs_made):
    rng = np.random.default_rng(runs_made)
    truth = expit(logit(logistic_normal(rng, CENTRE, 0.5, 200_000)).mean(axis=0))
    hit = coverage(logistic_normal(rng, CENTRE, 0.5, 1500, runs_made), truth)
    # Three standard errors of a share of .95 among 1,500.
    assert (np.abs(hit - 0.95) < 0.017).all(), hit


def test_a_shared_validation_set_needs_the_interval_that_counts_it_in():
    """One draw of the validation set shifts all runs; bootstrap draws around it spread as it does."""
    rng = np.random.default_rng(1)
    sets = np.log(logistic_normal(rng, CENTRE, 0.3, 1000))
    samples = np.stack([logistic_normal(rng, centre, 0.3, 4) for centre in sets])
    truth = expit(logit(logistic_normal(rng, CENTRE, 0.3 * np.sqrt(2), 200_000)).mean(axis=0))
    counted, not_counted = coverage(samples, truth, resampled=True), coverage(samples, truth)
    assert (np.abs(counted - 0.95) < 0.025).all(), counted
    assert (not_counted < 0.85).all(), not_counted


def test_hotelling_is_the_same_in_other_log_ratios():
    """Against T² on additive log ratios with an inverse: the statistic does not depend on the coordinates."""
    weights = logistic_normal(np.random.default_rng(2), CENTRE, 0.4, 7)
    reference = np.array([0.4, 0.3, 0.2, 0.1])
    points = np.log(weights[:, :3] / weights[:, 3:]) - np.log(reference[:3] / reference[3])
    squared = 7 * points.mean(0) @ np.linalg.inv(np.cov(points.T)) @ points.mean(0)
    found = compositions.differs(weights, reference, SMALLEST)
    assert found.name == HOTELLING
    assert found.p == pytest.approx(stats.f.sf(squared * 4 / (3 * 6), 3, 4))


@pytest.mark.parametrize(("count", "name"), [(8, HOTELLING), (4, UNIVARIATE), (3, UNIVARIATE)])
@pytest.mark.parametrize("resampled", [False, True])
def test_equal_weights_are_rarely_called_different_and_others_often(count, name, resampled):
    rng = np.random.default_rng(count)
    equal = np.full(4, 0.25)
    null = [
        compositions.differs(sample, equal, SMALLEST, resampled)
        for sample in logistic_normal(rng, np.zeros(4), 0.15, 600, count)
    ]
    assert {test.name for test in null} == {name}
    wrong = np.mean([test.verdict == DIFFERENT for test in null])
    # Three standard errors of .05 among 600; the tests by source are conservative, and so is counting validation rows in.
    assert wrong < 0.077 and (wrong > 0.023 or resampled or name == UNIVARIATE), wrong
    far = logistic_normal(rng, CENTRE, 0.15, 100, count)
    assert np.mean([compositions.differs(s, equal, SMALLEST, resampled).verdict == DIFFERENT for s in far]) > 0.6


def test_sources_pruned_on_every_seed_leave_no_covariance_and_are_different():
    first = np.random.default_rng(0).uniform(0.4, 0.6, 9)
    weights = np.column_stack([first, 1 - first, np.zeros(9), np.zeros(9)])
    found = compositions.differs(weights, np.full(4, 0.25), SMALLEST)
    assert found == (UNIVARIATE, 0, DIFFERENT)
    assert compositions.share_intervals(weights, SMALLEST)[3][:3] == (0, 0, 0)


def test_a_share_that_is_the_same_on_every_seed_is_its_own_interval():
    given = np.array([[0.7, 0.3, 0.0]] * 3)
    assert [found[:3] for found in compositions.share_intervals(given, SMALLEST)] == [(s, s, s) for s in given[0]]


def test_few_seeds_and_methods_without_chance_say_so():
    equal = np.full(3, 1 / 3)
    assert compositions.differs([[0.8, 0.1, 0.1]] * 2, equal, SMALLEST).verdict == TOO_FEW
    assert compositions.differs([[0.8, 0.1, 0.1]] * 5, equal, SMALLEST).verdict == FIXED
    assert compositions.sample_change([[0.8, 0.1, 0.1]] * 2, equal, 30).verdict == TOO_FEW
    # Nor source by source: two seeds that both prune a source would show it with p = 0.
    assert np.isnan(compositions.source_p_values([[0.8, 0.2, 0.0], [0.9, 0.1, 0.0]], equal, SMALLEST)).all()


def test_rows_changed_count_a_shared_validation_set_in_as_the_shares_do():
    weights = np.array([[0.5, 0.5, 0.0], [0.6, 0.4, 0.0], [0.75, 0.25, 0.0]])
    own, shared = (
        compositions.sample_change(weights, np.full(3, 1 / 3), 300, resampled) for resampled in (False, True)
    )
    assert shared.high - shared.from_reference == pytest.approx(2 * (own.high - own.from_reference))  # √(1 + 3)


def test_p_values_by_source_are_holms():
    weights, reference = logistic_normal(np.random.default_rng(3), CENTRE, 0.4, 5), np.full(4, 0.25)
    raw = stats.ttest_1samp(logit(weights), logit(0.25), axis=0).pvalue
    order = np.argsort(raw)
    expected = {}
    for place, source in enumerate(order):
        expected[source] = min(1, max([(4 - place) * raw[source], *expected.values()]))
    found = compositions.source_p_values(weights, reference, SMALLEST)
    assert found == pytest.approx([expected[source] for source in range(4)])


def test_rows_that_change_by_hand_and_by_chance():
    weights = np.array([[0.5, 0.5, 0.0], [0.6, 0.4, 0.0], [0.7, 0.3, 0.0]])
    change = compositions.sample_change(weights, np.full(3, 1 / 3), 300)
    # Total variation to equal shares .333, .333, .367; between seeds .1, .1, .2.
    assert change.from_reference == pytest.approx((100 + 100 + 110) / 3)
    assert change.between_seeds == pytest.approx(40)
    assert change.verdict == "yes"
    draws = np.random.default_rng(0).multinomial(300, [0.6, 0.4, 0.0], (2, 20_000))
    assert change.by_chance == pytest.approx(np.abs(draws[0] - draws[1]).sum(-1).mean() / 2, rel=0.02)
    wandering = compositions.sample_change([[0.4, 0.3, 0.3], [0.3, 0.4, 0.3], [0.3, 0.3, 0.4]], np.full(3, 1 / 3), 300)
    assert wandering.verdict == "no"


def test_the_bootstrap_draws_validation_rows_again_by_the_seed():
    rows = [object() for _ in range(50)]

    def drawn(seed):
        return Problem([], None, None, lambda: rows, 8, bootstrap=seed).validation

    assert drawn(None) is rows
    assert drawn(1) == drawn(1) != drawn(2)
    assert len(drawn(1)) == 50 and set(drawn(1)) < set(rows)
    # Without replacement all would be there; with it about 1 - 1/e are.
    share = np.mean([len(set(drawn(seed))) / 50 for seed in range(40)])
    assert share == pytest.approx(1 - np.exp(-1), abs=0.03)


def test_the_table_says_what_was_varied_and_the_weights_carry_their_interval():
    learned = [
        (Run("x", "scalebio", seed), {"weights": {"a": a, "b": 1 - a}}) for seed, a in enumerate([0.9, 0.85, 0.88])
    ] + [(Run("x", "uniform", seed), {"weights": {"a": 0.5, "b": 0.5}}) for seed in range(3)]
    facts = {"x": {"sources": ["a", "b"], "rows": 100, "validation_bootstrap": True}}
    frame = runs.weight_intervals(learned, facts)
    scalebio, uniform = frame[frame["method"] == "scalebio"], frame[frame["method"] == "uniform"]
    assert set(scalebio["varied"]) == {"data order, layers, validation rows"} and set(uniform["varied"]) == {""}
    assert set(scalebio["verdict"]) == {DIFFERENT} and set(scalebio["changes_sample"]) == {"yes"}
    a = scalebio.iloc[0]
    assert 0 < a["low"] < 0.85 and 0.9 < a["high"] < 1 and a["rows_low"] == pytest.approx(100 * a["low"])
    # The other source's interval is its mirror image.
    assert scalebio.iloc[1]["low"] == pytest.approx(1 - a["high"])
    beside = runs.weights(learned, facts)
    assert set(beside[(beside["method"] == "scalebio") & (beside["source"] == "a")]["low"]) == {a["low"]}
    alone = runs.weight_intervals(learned, {"x": facts["x"] | {"validation_bootstrap": False}})
    assert alone.iloc[0]["low"] > a["low"] and set(alone["varied"]) == {intervals.TRAINING, ""}
    assert "Seeds vary: data order, layers, validation rows." in summary.weight_intervals(frame).markdown()
