"""Differences between methods: by hand from rows of judgments, and against a simulation whose truth is known.

The simulation's ratings are 1 to 10, rounded and clipped. A question is hard or easy for all methods and both turns, suits
one method more than another, and turns and the judge add noise. Its true difference comes from 400,000 questions.
"""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.optimize import brentq
from scipy.special import stdtrit
from test_scores import judgment

from scalebio.errors import UserError
from scalebio.mtbench import comparisons, scores
from scalebio.mtbench.reference_judge import LABEL
from scalebio.mtbench.scores import Judged
from scalebio.streams import stream

RUNS = [
    Judged("base0", "uniform", 0),
    Judged("base1", "uniform", 1),
    Judged("new0", "mixed", 0),
    Judged("new1", "mixed", 1),
]


def row_of(table, category="all", seed="all", comparison="method"):
    chosen = (table["category"] == category) & (table["seed"] == seed) & (table["comparison"] == comparison)
    (row,) = table[chosen].to_dict("records")
    return row


def judged(values, repeats=1, questions=12):
    """Rows for RUNS; `values(model, question, turn, repeat)` is the rating. Even questions are of category a, odd of b."""
    return [
        judgment(q, turn, values(run.model_id, q, turn, r), "ab"[q % 2], model=run.model_id, repeat=r)
        for run in RUNS
        for r in range(1, repeats + 1)
        for q in range(questions)
        for turn in (1, 2)
    ]


# --- by hand ----------------------------------------------------------------------------------------------------


def test_differences_are_paired_by_question_and_mean_over_turns_repeats_and_seeds():
    generator = stream(0, "any ratings")
    kept = {}

    def rating(*key):
        kept[key] = float(generator.integers(1, 11))
        return kept[key]

    table = comparisons.table(judged(rating, repeats=3), RUNS, "uniform", seed=0)
    assert list(table.columns) == comparisons.COLUMNS

    def expected(questions, seeds):
        keys = [(q, turn, r) for q in questions for turn in (1, 2) for r in (1, 2, 3)]
        return np.mean([kept[f"new{s}", *key] - kept[f"base{s}", *key] for s in seeds for key in keys])

    for category, questions in {"all": range(12), "a": range(0, 12, 2), "b": range(1, 12, 2)}.items():
        for seed, seeds in {"all": (0, 1), "0": (0,), "1": (1,)}.items():
            row = row_of(table, category, seed)
            assert row["difference"] == pytest.approx(expected(questions, seeds))
            assert row["n"] == len(questions) and (row["method"], row["baseline"]) == ("mixed", "uniform")
            assert row["low"] < row["difference"] < row["high"] and row["turn"] == "both"
    again = [
        kept[run.model_id, q, t, 1] / 2 + kept[run.model_id, q, t, 3] / 2 - kept[run.model_id, q, t, 2]
        for run in RUNS for q in range(12) for t in (1, 2)
    ]  # fmt: skip
    noise = row_of(table, comparison="judge noise")
    assert noise["difference"] == pytest.approx(np.mean(again)) and noise["n"] == 12
    assert (noise["method"], noise["baseline"]) == ("", "")


def test_rows_come_in_a_fixed_order_whatever_the_order_of_judgments():
    rows = judged(lambda model, q, turn, r: 1 + (q + len(model) * turn + r) % 9, repeats=2)
    table = comparisons.table(rows, RUNS, "uniform", seed=0)
    assert list(zip(table["comparison"], table["seed"], table["category"], strict=True)) == [
        (comparison, seed, category)
        for comparison, seeds in (("method", ["all", "0", "1"]), ("judge noise", ["all"]))
        for seed in seeds
        for category in ("all", "a", "b")
    ]
    pd.testing.assert_frame_equal(table, comparisons.table(rows[::-1], RUNS, "uniform", seed=0))


def test_verdicts_follow_the_interval_and_higher_is_better():
    def gap(size):
        rows = judged(lambda model, q, turn, r: 5 + q % 3 + (size + q % 2) * model.startswith("new"))
        return row_of(comparisons.table(rows, RUNS, "uniform", 0))

    assert gap(1)["verdict"] == "better" and gap(1)["low"] > 0 and gap(1)["difference"] == 1.5
    assert gap(-3)["verdict"] == "worse" and gap(-3)["high"] < 0
    assert gap(-0.5)["verdict"] == "not distinguishable" and gap(-0.5)["difference"] == 0


def test_an_end_of_exactly_zero_decides_nothing():
    """Thirds that cancel by hand leave 1e-17 in floating point."""
    thirds = np.array([0.1 + 0.2 - 0.3] * 8)
    assert thirds[0] > 0
    assert comparisons.paired(thirds, stream(0, "zero")).verdict == "not distinguishable"


def test_without_a_readable_rating_on_both_sides_a_question_does_not_count():
    def rating(model, q, turn, r):
        unreadable = (model, q, turn) in {
            ("new0", 0, 1),
            ("new0", 0, 2),
            ("base0", 2, 1),
            ("base0", 2, 2),
            ("base0", 3, 2),
        }
        return -1 if unreadable else 9 if (q, turn) == (3, 2) else 4 + q % 2 + model.startswith("new")

    table = comparisons.table(judged(rating), RUNS, "uniform", seed=0)
    alone = row_of(table, seed="0")
    # Question 3 counts by its first turn: the second has a rating on one side only, and 9 − nothing is no difference.
    assert alone["n"] == 10 and alone["difference"] == 1
    assert row_of(table, "a", "0")["n"] == 4 and row_of(table, "b", "0")["n"] == 6
    assert row_of(table)["n"] == 12, "the other seed has ratings of every question"


def test_nothing_readable_is_no_difference():
    table = comparisons.table(judged(lambda *_: -1, repeats=2), RUNS, "uniform", seed=0)
    assert table["difference"].isna().all() and (table["n"] == 0).all()
    assert set(table["verdict"]) == {"not distinguishable"}


def test_five_questions_decide_nothing():
    table = comparisons.table(judged(lambda m, q, *_: 2 + q + m.startswith("new"), questions=10), RUNS, "uniform", 0)
    row = row_of(table, "a")
    assert row["n"] == 5 and row["difference"] == 1 and row["verdict"] == "not distinguishable"
    assert np.isnan([row["low"], row["high"], row["smallest_visible"]]).all()


def test_judged_once_says_so_and_judged_again_compares():
    once = comparisons.table(judged(lambda m, q, *_: 1 + q % 7), RUNS, "uniform", 0)
    row = row_of(once, comparison="judge noise")
    assert row["verdict"] == "unknown: judged once" and np.isnan(row["difference"]) and row["n"] == 0
    steady = comparisons.table(judged(lambda m, q, *_: 1 + q % 7, repeats=2), RUNS, "uniform", 0)
    row = row_of(steady, comparison="judge noise")
    assert row["difference"] == 0 and row["verdict"] == "not distinguishable"
    drifting = comparisons.table(
        judged(lambda m, q, t, r: 2 * r + q % 3 + (r == 2) * q % 2, repeats=2), RUNS, "uniform", 0
    )
    assert row_of(drifting, comparison="judge noise")["verdict"] == "repeats differ"


def test_impossible_comparisons_are_named():
    rows = judged(lambda *_: 5)
    with pytest.raises(UserError, match="`baseline` is other; the judged methods are uniform, mixed"):
        comparisons.table(rows, RUNS, "other", 0)
    apart = [run._replace(seed=run.seed + 5) if run.method == "mixed" else run for run in RUNS]
    with pytest.raises(UserError, match="Method mixed has no seed in common with uniform"):
        comparisons.table(rows, apart, "uniform", 0)


def test_a_method_alone_is_compared_with_nothing():
    table = comparisons.table(judged(lambda *_: 5)[:24], RUNS[:1], "uniform", 0)
    assert set(table["comparison"]) == {"judge noise"}


def test_smallest_visible_is_that_of_the_t_test():
    differences = stream(0, "power").normal(size=15)
    smallest, n = comparisons.smallest_visible(differences), 15
    shift = smallest / (differences.std(ddof=1) / n**0.5)
    assert stats.nct.sf(stdtrit(n - 1, 0.975), n - 1, shift) == pytest.approx(0.8)
    assert np.isnan(comparisons.smallest_visible(np.ones(15))), "no scatter gives no scale"


# --- against a known truth --------------------------------------------------------------------------------------

DRAWS, QUESTIONS = 1000, 80


def ratings(generator, samples, questions, repeats, shift):
    """Shape (samples, questions, 2 turns, repeats, 2 methods), 1 to 10; the second method is `shift` better at heart."""

    def normal(size, *shape):
        return generator.normal(0, size, (samples, questions, *shape))

    heart = 5.5 + normal(1.8, 1, 1, 1) + normal(1, 1, 1, 2) + normal(1, 2, 1, 2) + normal(1, 2, repeats, 2)
    return np.clip(np.round(heart + shift * np.arange(2)), 1, 10)


def differences(values):
    return (values[..., 1] - values[..., 0]).mean(axis=(-2, -1))


def truth(repeats, shift):
    """True difference and standard deviation over questions, always from the same many questions."""
    many = differences(ratings(stream(5, "population", repeats), 1, 400_000, repeats, shift))
    return many.mean(), many.std()


@pytest.fixture(scope="module", params=[1, 3])
def simulated(request):
    """By shift: true difference, and verdicts and ends for each of DRAWS sets of 80 questions."""
    repeats = request.param
    known = {}

    def simulate(shift):
        if shift not in known:
            generator = stream(6, "draws", repeats, shift)
            samples = differences(ratings(generator, DRAWS, QUESTIONS, repeats, shift))
            known[shift] = truth(repeats, shift)[0], [comparisons.paired(one, generator) for one in samples]
        return known[shift]

    patch = pytest.MonkeyPatch()
    patch.setattr(scores, "DRAWS", 1000)
    simulate.repeats = repeats
    yield simulate
    patch.undo()


@pytest.mark.parametrize("shift", [0.0, 0.4, -1.5])
def test_the_interval_covers_the_true_difference(simulated, shift):
    true, found = simulated(shift)
    assert 0.93 <= np.mean([one.low <= true <= one.high for one in found]) <= 0.97
    # What is seen is the truth, so that an interval around something else would not pass.
    assert np.mean([one.difference for one in found]) == pytest.approx(true, abs=0.03)


def test_where_there_is_no_difference_none_is_seen(simulated):
    true, found = simulated(0.0)
    assert true == pytest.approx(0, abs=0.01)
    assert 0.93 <= np.mean([one.verdict == "not distinguishable" for one in found]) <= 0.97


def test_the_smallest_visible_difference_is_seen_four_times_in_five(simulated):
    repeats = simulated.repeats
    _, scatter = truth(repeats, 0.5)
    limit = stdtrit(QUESTIONS - 1, 0.975)
    # The smallest visible difference at this scatter, found without the function under test.
    goal = brentq(lambda d: stats.nct.sf(limit, QUESTIONS - 1, d / scatter * QUESTIONS**0.5) - 0.8, 0.05, 3)
    shift = brentq(lambda shift: truth(repeats, shift)[0] - goal, 0, 3, xtol=0.01)
    _, found = simulated(shift)
    assert 0.72 <= np.mean([one.verdict == "better" for one in found]) <= 0.88
    assert np.median([one.smallest_visible for one in found]) == pytest.approx(goal, rel=0.05)


def test_repeats_narrow_the_interval_but_not_without_end(simulated):
    """Two methods with all noise but the judge's gone would still differ from question to question."""
    _, found = simulated(0.0)
    width = np.mean([one.high - one.low for one in found])
    # Standard deviations: interaction √2, turns 1 and judge 1/√repeats, each of two turns of two methods.
    expected = 2 * 1.99 * (2 + 1 + 1 / simulated.repeats) ** 0.5 / QUESTIONS**0.5
    assert width == pytest.approx(expected, rel=0.06)


# --- entry point ------------------------------------------------------------------------------------------------


def run_scores(root, tmp_path, settings):
    paths = {name: tmp_path / name for name in ("judgments", "scores", "differences")}
    options = [part for name, path in paths.items() for part in (f"--{name}", str(path))]
    command = [sys.executable, str(root / "scripts/mtbench_scores.py"), "--settings", json.dumps(settings), *options]
    return paths, subprocess.run(command, capture_output=True, text=True)


def test_entry_point_writes_scores_and_differences(root, tmp_path):
    rows = judged(lambda model, q, turn, r: 3 + (q * turn + r) % 4 + model.startswith("new"), repeats=2)
    (tmp_path / "judgments").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {"runs": [run._asdict() for run in RUNS], "baseline": "uniform", "seed": 0}
    paths, done = run_scores(root, tmp_path, settings)
    assert done.returncode == 0, done.stderr
    written = pd.read_csv(paths["scores"], keep_default_na=False, na_values={"score": ""})
    assert list(written.columns) == scores.COLUMNS and list(written["model"].unique()) == [run.model_id for run in RUNS]
    written = pd.read_csv(paths["differences"], dtype={"seed": str})
    assert list(written.columns) == comparisons.COLUMNS
    assert row_of(written)["difference"] == 1 and row_of(written)["verdict"] == "better"
    assert "mixed minus uniform: +1.00" in done.stdout and f"judge: {LABEL}; questions: MT-Bench 80" in done.stdout


def test_entry_point_names_what_is_wrong_and_leaves_nothing(root, tmp_path):
    (tmp_path / "judgments").write_text(json.dumps(judgment(1, 1, 5)) + "\n")
    run = {"model_id": "m", "method": "mixed", "seed": 0}
    for settings, message in [
        ({"runs": [run], "baseline": "uniform"}, "`baseline` is uniform; the judged methods are mixed"),
        ({"runs": []}, "--settings: runs: "),
    ]:
        paths, done = run_scores(root, tmp_path, settings)
        assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr
        assert not paths["scores"].exists() and not paths["differences"].exists()
