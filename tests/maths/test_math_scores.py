"""Accuracies and paired differences against cases worked by hand, scipy's own, and simulated coverage."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, norm

from scalebio.errors import UserError
from scalebio.maths import comparisons, scores
from scalebio.maths.comparisons import exact_p, interval, paired, table
from scalebio.maths.scores import wilson
from scalebio.statistics import BETTER, UNCLEAR, WORSE


def graded(right, benchmark="gsm8k", **more):
    return [
        {"benchmark": benchmark, "id": i, "subject": "", "level": "", "correct": bool(value), "problem": ""}
        | {"shortened": False, **{key: values[i] for key, values in more.items()}}
        for i, value in enumerate(right)
    ]


@pytest.mark.parametrize(("correct", "n"), [(0, 1), (1, 1), (0, 20), (3, 20), (20, 20), (700, 1319)])
def test_the_interval_ends_where_the_score_test_does(correct, n):
    for end in wilson(correct, n):
        assert (correct / n - end) ** 2 == pytest.approx(norm.ppf(0.975) ** 2 * end * (1 - end) / n, abs=1e-12)


def test_scores_by_hand():
    subjects, levels = ["Algebra", "Algebra", "Geometry", "Geometry"], ["1", "5", "5", "5"]
    problems = ["", "no final answer", "over the time limit", ""]
    math = graded(
        [1, 0, 0, 1], "math", subject=subjects, level=levels, problem=problems, shortened=[True, False, False, False]
    )
    found = scores.table([*graded([1, 1, 0]), *math])
    assert found.columns.tolist() == scores.COLUMNS
    named = found.set_index(["benchmark", "grouping", "group"])
    assert named.index.tolist() == [
        ("gsm8k", "all", "all"),
        ("math", "all", "all"),
        ("math", "subject", "Algebra"),
        ("math", "subject", "Geometry"),
        ("math", "level", "1"),
        ("math", "level", "5"),
    ]
    assert named["accuracy"].tolist() == pytest.approx([2 / 3, 1 / 2, 1 / 2, 1 / 2, 1, 1 / 3])
    assert named[["n", "correct", "unparsed", "shortened"]].values.tolist() == [
        [3, 2, 0, 0],
        [4, 2, 2, 1],
        [2, 1, 1, 1],
        [2, 1, 1, 0],
        [1, 1, 0, 1],
        [3, 1, 2, 0],
    ]


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (1, 0), (5, 0), (6, 0), (0, 6), (9, 2), (40, 21), (600, 540)])
def test_with_one_seed_the_test_is_mcnemars(gained, lost):
    sums = np.array([1] * gained + [-1] * lost + [0] * 10)
    expected = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert exact_p(sums) == pytest.approx(expected, rel=1e-9)


def test_with_several_seeds_it_is_the_count_over_all_signs():
    rng = np.random.default_rng(0)
    for _ in range(20):
        sums = rng.integers(-3, 4, size=9)
        totals = [abs(int(np.dot(sums, signs))) for signs in itertools.product((1, -1), repeat=9)]
        assert exact_p(sums) == pytest.approx(np.mean(np.array(totals) >= abs(sums.sum())))


def test_the_interval_by_hand_and_at_its_ends():
    # 8 gained, 3 lost of 98: 5/100 ± 1.96 √(12 − 25/100)/100.
    differences = np.array([1.0] * 8 + [-1.0] * 3 + [0.0] * 87)
    assert interval(differences) == pytest.approx(
        (0.05 - 1.959964 * 11.75**0.5 / 100, 0.05 + 1.959964 * 11.75**0.5 / 100)
    )
    low, high = interval(np.zeros(4))
    assert low == -high and 0.3 < high < 0.35  # four questions without a difference do not show that there is none
    assert interval(np.ones(5))[1] == 1.0 and interval(-np.ones(5))[0] == -1.0


@pytest.mark.parametrize("gain, loss", [(0.02, 0.02), (0.1, 0.05), (0.3, 0.1), (0.005, 0.0)])
def test_the_interval_covers_and_the_test_does_not_cry_wolf(gain, loss):
    rng, n, draws = np.random.default_rng(1), 300, 4000
    counts = rng.multinomial(n, [gain, loss, 1 - gain - loss], size=draws)
    known, covered, wolf = {}, 0, 0
    for up, down, same in counts.tolist():
        if (up, down) not in known:
            sums = np.repeat([1, -1, 0], [up, down, same])
            low, high = interval(sums / 1)
            known[up, down] = (low <= gain - loss <= high, exact_p(sums) < 0.05)
        covered, wolf = covered + known[up, down][0], wolf + known[up, down][1]
    assert covered / draws > 0.94
    assert gain != loss or wolf / draws < 0.05


def test_differences_of_methods_by_hand():
    same = [0] * 20
    runs = [
        ("uniform", 0, graded([*[0] * 8, *[1] * 2, *same])),
        ("uniform", 1, graded([*[0] * 8, *[1] * 2, *same])),
        ("good", 0, graded([*[1] * 8, *[1] * 2, *same])),
        ("good", 1, graded([*[1] * 7, 0, *[1] * 2, *same])),
        ("bad", 1, graded([*[0] * 8, 0, 1, *same])),
    ]
    found = table(runs, "uniform").set_index(["method", "seed"])
    assert found.index.tolist() == [("good", "all"), ("good", "0"), ("good", "1"), ("bad", "all"), ("bad", "1")]
    assert found["difference"].tolist() == pytest.approx([7.5 / 30, 8 / 30, 7 / 30, -1 / 30, -1 / 30])
    assert found[["gained", "lost", "n"]].values.tolist() == [
        [8, 0, 30],
        [8, 0, 30],
        [7, 0, 30],
        [0, 1, 30],
        [0, 1, 30],
    ]
    # Seven differences of 2 and one of 1, all of one sign: two of 2⁸ choices of signs are as far out.
    assert found["p"].tolist() == pytest.approx([2 / 2**8, 2 / 2**8, 2 / 2**7, 1, 1])
    assert found["verdict"].tolist() == [BETTER, BETTER, BETTER, UNCLEAR, UNCLEAR]
    assert (found["low"] < found["difference"]).all() and (found["difference"] < found["high"]).all()
    turned = table([runs[2], runs[0]], "good")
    assert turned["verdict"].tolist() == [WORSE, WORSE] and turned["difference"].tolist() == pytest.approx(
        [-8 / 30] * 2
    )


def test_the_test_decides_where_interval_and_test_disagree():
    """Five gained, none lost: the interval just leaves out 0, but one in 16 fair coins does as well."""
    difference, low, _, n, gained, lost, p, _, verdict = paired(np.array([1] * 5 + [0] * 95), 1)
    assert (difference, n, gained, lost, verdict) == (0.05, 100, 5, 0, UNCLEAR) and low > 0 and p == 1 / 16


def test_runs_that_cannot_be_compared_are_named():
    one = ("uniform", 0, graded([1, 0]))
    with pytest.raises(UserError, match="good, seed 0, answered other questions"):
        table([one, ("good", 0, graded([1, 0, 1]))], "uniform")
    with pytest.raises(UserError, match="good has no seed in common with uniform"):
        table([one, ("good", 1, graded([1, 0]))], "uniform")
    with pytest.raises(UserError, match="`baseline` is plain; the methods are uniform"):
        table([one], "plain")


def test_groups_of_differences_are_those_of_the_scores():
    math = {"subject": ["Algebra", "Geometry"], "level": ["1", "1"]}
    runs = [
        (name, 0, [*graded([1, 0]), *graded(right, "math", **math)]) for name, right in (("a", [0, 0]), ("b", [1, 0]))
    ]
    keys = ["benchmark", "grouping", "group"]
    found = table(runs, "a")
    pd.testing.assert_frame_equal(
        found[found["seed"] == "0"][keys].reset_index(drop=True), scores.table(runs[0][2])[keys]
    )
    assert found.set_index(keys)["difference"].loc["math", "subject", "Algebra"].tolist() == [1.0, 1.0]
    assert comparisons.COLUMNS == found.columns.tolist()
