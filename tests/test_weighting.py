"""Methods behind their one signature: what they return, and that none loads what it does not need."""

import copy

import numpy as np
import pytest

from scalebio import weighting
from scalebio.bilevel import Step
from scalebio.config_methods import GradientMatching, ScaleBiO, Uniform
from scalebio.errors import UserError
from scalebio.learner import Learner
from scalebio.weighting.scalebio import step_rows

SOURCES = ["right", "wrong"]
SETTINGS = {"kind": "scalebio", "steps": 4, "learning_rate": 1e-3, "per_source": 3, "validation_batch": 4, "ramp": 1}
SETTINGS |= {"check_steps": 0}


@pytest.fixture
def problem(tiny, make_examples):
    """problem() → two sources, one with right and one with wrong answers, and the tiny model; counts its steps."""

    def make():
        reports = []
        wrong = make_examples(12, source=1, seed=2, answer=lambda a, b: 7)
        result = weighting.Problem(
            sources=SOURCES,
            load_model=lambda: copy.deepcopy(tiny[0]),
            load_by_source=lambda: [make_examples(12, seed=1), wrong],
            load_validation=lambda: make_examples(8, seed=3),
            row_length=64,
            progress=lambda done, total, text, tokens=0: reports.append((done, total, text)),
        )
        return result, reports

    return make


def refuse():
    raise AssertionError("loaded, though the method has no use for it")


def test_uniform_is_uniform_and_loads_nothing():
    problem = weighting.Problem(["a", "b", "c", "d"], refuse, refuse, refuse, row_length=64)
    outcome = weighting.learn(problem, Uniform(kind="uniform"), seed=0)
    assert outcome.weights.tolist() == [0.25] * 4
    assert outcome.trajectory == [] and outcome.extra == {}


def test_scalebio_returns_weights_and_the_way_to_them(problem):
    given, reports = problem()
    outcome = weighting.learn(given, ScaleBiO(**SETTINGS), seed=0)
    assert outcome.weights.shape == (2,) and outcome.weights.sum() == pytest.approx(1, abs=1e-12)
    assert outcome.extra["final"] == pytest.approx(dict(zip(SOURCES, outcome.weights.tolist(), strict=True)), abs=1e-12)
    assert [(done, total) for done, total, _ in reports] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert "right 0." in reports[-1][2] and "GB" in reports[-1][2]

    assert all(row.keys() == {"step", "source", "quantity", "value"} for row in outcome.trajectory)
    weights = {(row["step"], row["source"]): row["value"] for row in outcome.trajectory if row["quantity"] == "weight"}
    assert weights.keys() == {(step, source) for step in range(5) for source in SOURCES}
    assert weights[0, "right"] == weights[0, "wrong"] == 0.5
    assert [weights[4, source] for source in SOURCES] == list(outcome.extra["final"].values())
    whole = {row["quantity"] for row in outcome.trajectory if row["source"] is None}
    assert whole == {"L1", "L2_w", "L2_u", "seconds", "peak_memory_gb", "tokens"}


def test_scalebio_counts_every_token_that_goes_through_a_model(problem, monkeypatch):
    seen, backward = [], Learner._backward

    def counted(learner, examples, coefficients):
        seen.append(sum(len(example.ids) for example in examples))
        return backward(learner, examples, coefficients)

    monkeypatch.setattr(Learner, "_backward", counted)
    outcome = weighting.learn(problem()[0], ScaleBiO(**SETTINGS), seed=0)
    assert len(seen) == 2 * 4  # u and w
    assert outcome.spent == weighting.Spent(forward_tokens=sum(seen), backward_tokens=sum(seen))


def test_tail_mean_is_the_mean_over_the_second_half(problem):
    outcome = weighting.learn(problem()[0], ScaleBiO(**SETTINGS), seed=0)
    weights = {(row["step"], row["source"]): row["value"] for row in outcome.trajectory if row["quantity"] == "weight"}
    for source in SOURCES:
        # Steps 2 and 3 of 4, and where the last one led.
        assert outcome.extra["tail_mean"][source] == pytest.approx(np.mean([weights[k, source] for k in (2, 3, 4)]))


def test_the_same_seed_gives_the_same_bits_and_another_does_not(problem):
    first, again, other = (weighting.learn(problem()[0], ScaleBiO(**SETTINGS), seed) for seed in (0, 0, 1))
    assert first.weights.tolist() == again.weights.tolist()
    assert first.weights.tolist() != other.weights.tolist()


def test_pruned_weights_are_zero_and_the_unpruned_are_kept(problem):
    settings = SETTINGS | {"steps": 12, "weight_learning_rate": 0.5}
    plain = weighting.learn(problem()[0], ScaleBiO(**settings), seed=0).weights
    limit = float(plain.min()) + 1e-6
    assert limit < plain.max()
    pruned = weighting.learn(problem()[0], ScaleBiO(**settings, prune_below=limit), seed=0)
    assert sorted(pruned.weights.tolist()) == [0, 1]
    assert list(pruned.extra["final"].values()) == pytest.approx(plain.tolist(), abs=1e-12)


def test_pruning_everything_is_refused(problem):
    with pytest.raises(UserError, match="would remove every source"):
        weighting.learn(problem()[0], ScaleBiO(**SETTINGS, prune_below=1.0), seed=0)


def test_the_check_judges_the_weights_from_a_fresh_base_and_changes_nothing(problem):
    given, reports = problem()
    outcome = weighting.learn(given, ScaleBiO(**SETTINGS | {"check_steps": 60, "steps": 12}), seed=0)
    check = outcome.extra["check"]
    assert check.keys() == {"ratio", "threshold", "verdict", "reason"}
    assert check["verdict"] in ("confirmed", "not confirmed") and check["reason"]
    assert reports[-1][:2] == (12, 12) and "check" in reports[-1][2]  # no longer than the run itself
    plain = weighting.learn(problem()[0], ScaleBiO(**SETTINGS | {"steps": 12}), seed=0)
    assert plain.weights.tolist() == outcome.weights.tolist() and "check" not in plain.extra


def test_gradient_matching_finds_the_right_source_and_reports_its_way(problem):
    given, reports = problem()
    settings = GradientMatching(kind="gradient_matching", steps=30, learning_rate=1e-3, ramp=4, validation_batch=8)
    outcome = weighting.learn(given, settings, seed=0)
    assert outcome.weights.sum() == pytest.approx(1) and outcome.weights[0] > 0.7
    weights = {(row["step"], row["source"]): row["value"] for row in outcome.trajectory}
    assert weights.keys() == {(step, source) for step in range(31) for source in SOURCES}
    assert weights[4, "right"] == 0.5  # equal until the ramp is over
    assert outcome.extra["final"]["right"] == pytest.approx(np.mean([weights[k, "right"] for k in range(15, 31)]))
    assert len(reports) == 30
    assert outcome.spent.forward_tokens == outcome.spent.backward_tokens > 0


def test_rows_of_a_known_step():
    step = Step(0, np.array([0.5, 0.5]), np.array([-0.1, 0.2]), 1.0, 2.0, 3.0, seconds=0.1, peak_memory_gb=0.2)
    rows = step_rows(step, SOURCES)
    assert len(rows) == 2 * 2 + 6
    assert {"step": 0, "source": "wrong", "quantity": "gap", "value": 0.2} in rows
    assert {"step": 0, "source": None, "quantity": "L2_u", "value": 3.0} in rows
