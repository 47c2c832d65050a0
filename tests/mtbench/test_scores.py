"""Scores and their intervals: means as FastChat's, failures counted, coverage near 95 %."""

import numpy as np
import pandas as pd
import pytest

from scalebio.errors import UserError
from scalebio.mtbench import scores
from scalebio.mtbench.reference_judge import LABEL
from scalebio.mtbench.scores import Judged
from scalebio.streams import stream


def judgment(question_id, turn, score, category="a", **changes):
    row = {"question_id": question_id, "turn": turn, "score": score, "category": category, "model": "m", "repeat": 1}
    row |= {
        "judge": [LABEL, "single-v1"],
        "judge_note": "",
        "questions": "MT-Bench 80",
        "prompts_sha256": "p",
        "cut": 0,
    }
    return row | changes


def cell(table, category, turn, model="m"):
    return table[(table["category"] == category) & (table["turn"] == turn) & (table["model"] == model)].iloc[0]


def test_means_counts_and_labels():
    rows = [judgment(1, 1, 4), judgment(1, 2, 8), judgment(2, 1, 6), judgment(2, 2, -1)]
    rows += [judgment(3, 1, 1, "b"), judgment(3, 2, 3, "b")]
    table = scores.table(rows, seed=0)
    assert list(table.columns) == scores.COLUMNS
    assert list(zip(table["category"], table["turn"], strict=True)) == [
        (category, turn) for category in ("all", "a", "b") for turn in ("1", "2", "both")
    ]
    # FastChat's show_result: drop -1, then plain means; "Average" runs over all ratings.
    frame = pd.DataFrame(rows).query("score != -1")
    assert cell(table, "all", "1")["score"] == pytest.approx(frame.query("turn == 1")["score"].mean())
    assert cell(table, "all", "2")["score"] == pytest.approx(frame.query("turn == 2")["score"].mean())
    assert cell(table, "all", "both")["score"] == pytest.approx(frame["score"].mean())
    assert cell(table, "a", "both")[["score", "n", "failed"]].tolist() == [6, 3, 1]
    assert set(table["judge"]) == {LABEL} and set(table["questions"]) == {"MT-Bench 80"}
    one = cell(table, "b", "both")
    assert one["score"] == 2 and np.isnan([one["low"], one["high"]]).all()
    pd.testing.assert_frame_equal(table, scores.table(rows[::-1], seed=0))


def test_models_stand_in_their_order_each_with_its_own_numbers():
    rows = [judgment(1, 1, 4, model="z"), judgment(1, 2, 6, model="z", cut=900), judgment(1, 1, 9, model="a")]
    rows += [judgment(1, 2, -1, model="a", judge_note="")]
    table = scores.table([row | {"judge_note": "no date in the judge's id"} for row in rows], seed=0)
    assert list(dict.fromkeys(table["model"])) == ["z", "a"]
    assert cell(table, "all", "both", "z")[["score", "n", "failed", "cut", "repeats"]].tolist() == [5, 2, 0, 1, 1]
    assert cell(table, "a", "both", "a")[["score", "n", "failed", "cut"]].tolist() == [9, 1, 1, 0]
    assert set(table["judge_note"]) == {"no date in the judge's id"} and set(table["prompts_sha256"]) == {"p"}


def test_repeats_are_ratings_like_others_and_show_the_judges_own_scatter():
    values = {1: [[4, 6], [8, 8]], 2: [[5, 5], [7, 9]]}
    rows = [
        judgment(question, turn + 1, value, repeat=repeat + 1)
        for question, turns in values.items()
        for turn, given in enumerate(turns)
        for repeat, value in enumerate(given)
    ]
    both = cell(scores.table(rows, 0), "all", "both")
    assert both[["score", "n", "repeats"]].tolist() == [6.5, 8, 2]
    # Sums of squares within the four answers: 2, 0, 0, 2, each with one degree of freedom; eight ratings.
    assert both["judge_sd"] == pytest.approx((4 / 4 / 8) ** 0.5)
    once = scores.table([row for row in rows if row["repeat"] == 1], 0)
    assert once["judge_sd"].isna().all() and set(once["repeats"]) == {1}


def test_the_judges_scatter_is_that_of_judging_anew():
    """`judge_sd` from one file of three repeats against the scatter of 2,000 scores judged afresh."""
    generator = stream(3, "judge sd")
    answers = generator.uniform(2, 9, size=(40, 2))

    def judged(repeats):
        return np.clip(np.round(answers[..., None] + generator.normal(0, 1, size=(40, 2, repeats))), 1, 10)

    afresh = np.std([judged(3).mean() for _ in range(2000)])
    rows = [judgment(q, turn + 1, value, repeat=r + 1) for (q, turn, r), value in np.ndenumerate(judged(3))]
    assert cell(scores.table(rows, 0), "all", "both")["judge_sd"] == pytest.approx(afresh, rel=0.15)


def test_scores_by_repeats_use_the_first_ones():
    rows = [
        judgment(question, 1, 2 * repeat + (model == "n"), repeat=repeat, model=model)
        for question in range(8)
        for repeat in (1, 2, 3)
        for model in ("m", "n")
    ]
    table = scores.by_repeats(rows, [Judged("m", "x", 0), Judged("n", "x", 4)], seed=0)
    assert list(table.columns) == scores.REPEAT_COLUMNS
    assert table[["seed", "repeats", "score", "n"]].values.tolist() == [
        ["all", 1, 2.5, 16], ["all", 2, 3.5, 32], ["all", 3, 4.5, 48],
        ["0", 1, 2, 8], ["0", 2, 3, 16], ["0", 3, 4, 24],
        ["4", 1, 3, 8], ["4", 2, 4, 16], ["4", 3, 5, 24],
    ]  # fmt: skip
    assert (table["low"] <= table["score"]).all() and (table["score"] <= table["high"]).all()
    # Each answer's ratings 2, 4, 6 scatter with variance 4.
    assert table["judge_sd"].tolist() == pytest.approx((4 / table["n"]) ** 0.5)


def test_nothing_rated_is_no_score():
    row = cell(scores.table([judgment(1, 1, -1), judgment(1, 2, -1)], 0), "all", "both")
    assert np.isnan(row["score"]) and row["n"] == 0 and row["failed"] == 2


@pytest.mark.parametrize(
    "changes, field",
    [
        ({"judge": ["other", "single-v1"]}, "judge"),
        ({"prompts_sha256": "q"}, "prompt file"),
        ({"questions": "own"}, "question set"),
    ],
)
def test_unlike_judgments_have_no_mean(changes, field):
    for model in ("m", "n"):
        with pytest.raises(UserError, match=f"more than one {field}"):
            scores.table([judgment(1, 1, 5), judgment(1, 2, 5, model=model, **changes)], 0)


def test_double_or_no_judgments_are_refused():
    with pytest.raises(UserError, match="judged twice"):
        scores.table([judgment(1, 1, 5), judgment(1, 1, 6)], 0)
    with pytest.raises(UserError, match="turn 1, of n is judged twice as repeat 2"):
        scores.table([judgment(1, 1, 5, model="n"), *[judgment(1, 1, 6, repeat=2, model="n")] * 2], 0)
    with pytest.raises(UserError, match="no judgments"):
        scores.table([], 0)


def test_judgments_of_an_older_form_are_named():
    old = judgment(1, 2, 5)
    del old["repeat"], old["cut"]
    with pytest.raises(UserError, match="Judgment 2 has no cut, repeat"):
        scores.table([judgment(1, 1, 5), old], 0)


def test_runs_and_judgments_must_be_of_the_same_models():
    rows = [judgment(1, 1, 5), judgment(1, 1, 5, model="n")]
    with pytest.raises(UserError, match="The judgments have none of o"):
        scores.of_runs(rows, [Judged("m", "x", 0), Judged("n", "x", 1), Judged("o", "y", 0)])
    with pytest.raises(UserError, match="No run names the judged n"):
        scores.of_runs(rows, [Judged("m", "x", 0)])
    with pytest.raises(UserError, match="listed twice"):
        scores.of_runs(rows, [Judged("m", "x", 0), Judged("n", "x", 0)])


def test_too_few_questions_have_no_interval():
    values = np.array([1.0, 2.0, 2.5, 3.0, 5.0, 6.0])
    assert np.isnan(scores.cluster_interval(values[:5], range(5), stream(0, "few"))).all()
    low, high = scores.cluster_interval(values, range(6), stream(0, "few"))
    assert 1 < low < values.mean() < high < 6


@pytest.mark.parametrize("questions", [6, 10, 80])
def test_coverage_with_turns_that_go_together(questions, monkeypatch):
    """Ratings 1 to 10 with a strong question effect shared by both turns, as MT-Bench has."""
    monkeypatch.setattr(scores, "DRAWS", 1000)
    generator = stream(1, "coverage", questions)

    def draw(count):
        effect = generator.normal(5.5, 2, size=(count, 1))
        return np.clip(np.round(effect + generator.normal(0, 1, size=(count, 2))), 1, 10)

    truth = draw(400_000).mean()
    clusters = np.repeat(np.arange(questions), 2)
    repeats, hits, naive = 600, 0, 0
    for _ in range(repeats):
        values = draw(questions).ravel()
        low, high = scores.cluster_interval(values, clusters, generator)
        hits += low <= truth <= high
        low, high = scores.cluster_interval(values, np.arange(len(values)), generator)
        naive += low <= truth <= high
    assert 0.925 <= hits / repeats <= 0.975
    assert naive < hits  # ignoring that turns go together is overconfident
