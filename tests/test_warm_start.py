"""Starting from old weights: shares by hand when sources come and go, where λ starts, what is said of it, and who cannot."""

import copy

import numpy as np
import pytest

from scalebio import warm_start, weighting
from scalebio.config_methods import WARM_STARTED, GradientMatching, ScaleBiO
from scalebio.errors import UserError

OLD = {"weights": {"a": 0.5, "b": 0.3, "c": 0.2}}


def test_shares_by_hand_when_sources_come_and_go():
    assert warm_start.shares(OLD, ["c", "a", "b"], "") == pytest.approx({"c": 0.2, "a": 0.5, "b": 0.3})
    assert list(warm_start.shares(OLD, ["c", "a", "b"], "")) == ["c", "a", "b"]
    # Without c the others are 5 : 3; the new one gets their mean, so a third of all.
    started = warm_start.shares(OLD, ["a", "new", "b"], "")
    assert started == pytest.approx({"a": 2 / 3 * 0.625, "new": 1 / 3, "b": 2 / 3 * 0.375})
    pruned = {"weights": {"a": 1.0, "b": 0.0}, "final": {"a": 0.96, "b": 0.04}}
    assert warm_start.shares(pruned, ["a", "b"], "") == pytest.approx({"a": 0.96, "b": 0.04})
    del pruned["final"]
    assert warm_start.shares(pruned, ["a", "b"], "")["b"] == pytest.approx(0.0005, rel=1e-3)
    assert warm_start.shares({"weights": {"a": 1.0, "b": 0.0}}, ["b", "x"], "") == {"b": 0.5, "x": 0.5}
    with pytest.raises(UserError, match=r"old\.json: has weights of a, b, c, none of which is a source here \(x, y\)"):
        warm_start.shares(OLD, ["x", "y"], "old.json")


def test_the_difference_is_reported():
    start = {"a": 0.25, "new": 0.75}
    said = warm_start.record(OLD, start, np.array([0.5, 0.5]))
    assert said["added"] == ["new"] and said["removed"] == ["b", "c"] and said["shares"] == start
    assert said["moved"] == {"a": 0.25, "new": -0.25} and said["total_variation"] == 0.25


@pytest.fixture
def problem(tiny, make_examples):
    """Three sources, one of them wrong, with shares to start from."""
    return weighting.Problem(
        sources=["a", "b", "c"],
        load_model=lambda: copy.deepcopy(tiny[0]),
        load_by_source=lambda: [make_examples(12, source=i, seed=i) for i in range(3)],
        load_validation=lambda: make_examples(8, seed=9),
        row_length=64,
        start=warm_start.shares(OLD, ["a", "b", "c"], ""),
    )


def test_learning_starts_at_the_given_shares_and_goes_on_from_there(problem):
    settings = {"kind": "scalebio", "learning_rate": 1e-3, "per_source": 3, "validation_batch": 4, "ramp": 0}
    settings |= {"check_steps": 0}
    # The first step sees u = w, so it leaves λ alone.
    outcome = weighting.learn(problem, ScaleBiO(**settings, steps=1), seed=0)
    assert outcome.weights == pytest.approx([0.5, 0.3, 0.2], abs=1e-15)
    longer = weighting.learn(problem, ScaleBiO(**settings, steps=4), seed=0)
    first = [row["value"] for row in longer.trajectory if row["quantity"] == "weight" and row["step"] == 0]
    assert first == pytest.approx([0.5, 0.3, 0.2], abs=1e-15)
    assert np.abs(longer.weights - [0.5, 0.3, 0.2]).max() > 1e-3


def test_a_method_that_cannot_says_so(problem):
    method = GradientMatching(kind="gradient_matching", steps=1, learning_rate=1e-3)
    with pytest.raises(
        UserError, match="`gradient_matching` cannot start from weights learned before; of all methods scalebio"
    ):
        weighting.learn(problem, method, seed=0)
    assert WARM_STARTED == ("scalebio",)
