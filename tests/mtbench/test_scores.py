"""Scores and their intervals: means as FastChat's, failures counted, coverage near 95 %."""

import numpy as np
import pandas as pd
import pytest

from scalebio.errors import UserError
from scalebio.mtbench import scores
from scalebio.mtbench.reference_judge import LABEL
from scalebio.streams import stream


def judgment(question_id, turn, score, category="a", **changes):
    row = {"question_id": question_id, "turn": turn, "score": score, "category": category, "model": "m"}
    return row | {"judge": [LABEL, "single-v1"], "questions": "MT-Bench 80", "prompts_sha256": "p"} | changes


def cell(table, category, turn):
    return table[(table["category"] == category) & (table["turn"] == turn)].iloc[0]


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


def test_nothing_rated_is_no_score():
    row = cell(scores.table([judgment(1, 1, -1), judgment(1, 2, -1)], 0), "all", "both")
    assert np.isnan(row["score"]) and row["n"] == 0 and row["failed"] == 2


@pytest.mark.parametrize(
    "changes, field",
    [
        ({"model": "n"}, "model"),
        ({"judge": ["other", "single-v1"]}, "judge"),
        ({"prompts_sha256": "q"}, "prompt file"),
        ({"questions": "own"}, "question set"),
    ],
)
def test_unlike_judgments_have_no_mean(changes, field):
    with pytest.raises(UserError, match=f"more than one {field}"):
        scores.table([judgment(1, 1, 5), judgment(1, 2, 5, **changes)], 0)


def test_double_or_no_judgments_are_refused():
    with pytest.raises(UserError, match="judged twice"):
        scores.table([judgment(1, 1, 5), judgment(1, 1, 6)], 0)
    with pytest.raises(UserError, match="no judgments"):
        scores.table([], 0)


@pytest.mark.parametrize("questions", [10, 80])
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
