"""The comparison of methods against a case worked by hand."""

from math import isnan

import pytest

from scalebio.tables import comparison
from scalebio.tables.runs import Run

EXPECTED = {"a": 1.0}
LOSSES = {"uniform": (2.0, 2.2), "better": (1.7, 1.9), "oracle": (1.6, 1.8)}
WEIGHTS = {"uniform": {"a": 0.5, "b": 0.5}, "better": {"a": 0.8, "b": 0.2}, "oracle": {"a": 1.0, "b": 0.0}}
COSTS = {"uniform": (0, 0), "better": (500, 200), "oracle": (0, 0)}


@pytest.fixture
def found():
    """Weights, metrics and mixtures of three methods with two seeds each; 100 tokens drawn."""
    runs = [Run("x", method, seed) for method in LOSSES for seed in (0, 1)]
    costs = {name: dict(zip(("forward_tokens", "backward_tokens"), cost, strict=True)) for name, cost in COSTS.items()}
    weights = [(run, {"weights": WEIGHTS[run.method], "cost": costs[run.method]}) for run in runs]
    metrics = [(run, {"test_loss": LOSSES[run.method][run.seed]}) for run in runs]
    mixtures = [(run, {"sources": {"a": {"tokens": 60}, "b": {"tokens": 40}}}) for run in runs]
    return weights, metrics, mixtures


def test_by_hand(found):
    facts = {"x": {"expected": EXPECTED, "baseline": "uniform", "oracle": "oracle"}}
    frame = comparison.table(*found, facts, epochs=3).set_index("method")
    assert list(frame.index) == ["uniform", "better", "oracle"] and (frame["seeds"] == 2).all()
    better = frame.loc["better"]
    assert better["test_loss"] == pytest.approx(1.8) and better["difference"] == pytest.approx(-0.3)
    # Both seeds gain alike, though the losses themselves scatter.
    assert better["difference_high"] == pytest.approx(-0.3) and better["verdict"] == "better"
    assert better["high"] - better["low"] > 1
    assert better["gap_closed"] == pytest.approx(0.75) and frame.loc["oracle", "gap_closed"] == pytest.approx(1)
    assert frame["from_truth"].tolist() == pytest.approx([0.5, 0.2, 0])
    # 500 forward and twice 200 backward, over 100 tokens, three epochs, each token forward and backward.
    assert better["overhead"] == pytest.approx(900 / 900) and frame.loc["uniform", "overhead"] == 0
    assert isnan(frame.loc["uniform", "difference"]) and frame.loc["uniform", "verdict"] == ""
    text = comparison.readable(frame.reset_index()).markdown()
    assert "| `better` | 1.8000 |" in text and "| better | 75% | 0.200 |" in text


def test_without_oracle_and_truth_nothing_is_made_up(found):
    frame = comparison.table(*found, {"x": {"expected": None, "baseline": "uniform", "oracle": None}}, 1)
    assert frame[["gap_closed", "from_truth", "from_truth_low"]].isna().all(axis=None)
    header = comparison.readable(frame).sections[0][1].header
    assert header[-3:] == ["verdict", "overhead", "seeds"], "no columns of dashes"


def test_an_oracle_that_is_no_better_closes_no_gap(found):
    weights, metrics, mixtures = found
    worse = [(run, {"test_loss": 3.0 if run.method == "oracle" else data["test_loss"]}) for run, data in metrics]
    facts = {"x": {"expected": EXPECTED, "baseline": "uniform", "oracle": "oracle"}}
    assert comparison.table(weights, worse, mixtures, facts, 1)["gap_closed"].isna().all()
