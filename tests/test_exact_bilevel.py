"""Each hypergradient against a closed form or finite differences; the method against known weights and its own limits."""

import copy
import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from test_hypergradient import outer_differences

from scalebio import finetuning, flat_losses, weighting
from scalebio import hypergradient as hg
from scalebio.batching import pack
from scalebio.bilevel import weight_gradient
from scalebio.config_methods import ExactBilevel
from scalebio.errors import UserError
from scalebio.hypergradient_check import at_seed
from scalebio.losses import ResponseLoss
from scalebio.quadratic import Quadratic
from scalebio.streams import stream
from scalebio.tiny_language import TinyLanguage
from scalebio.weighting import exact_bilevel

SETTINGS = {"kind": "exact_bilevel", "steps": 8, "inner_steps": 3, "learning_rate": 0.1, "weight_learning_rate": 0.4}
SETTINGS |= {"per_source": 4, "validation_batch": 8, "ramp": 2}
KINDS = {"one_step": {"inner_steps": 1, "steps": 16}, "unrolled": {}, "implicit": {"tolerance": 0.05}}


@dataclasses.dataclass
class From:
    """A quadratic whose training starts at `base`."""

    problem: Quadratic
    base: torch.Tensor

    def __getattr__(self, name: str):
        return getattr(self.problem, name)


def somewhere(seed: int) -> From:
    problem = Quadratic(seed)
    return From(problem, torch.from_numpy(stream(seed, "start").normal(size=len(problem.base))))


def parts(problem: Quadratic, p: torch.Tensor, w: torch.Tensor):
    """∇l_i(w) [sources, dimension], ∇L1(w) and the Hessian of Σ p_i l_i, written out."""
    tables = [*problem.by_source, problem.validation]
    slopes = torch.stack([rows[:, :-1].T @ (rows[:, :-1] @ w - rows[:, -1]) / len(rows) for rows in tables])
    curvature = sum(
        share * rows[:, :-1].T @ rows[:, :-1] / len(rows) for share, rows in zip(p, tables[:-1], strict=True)
    )
    return slopes[:-1], slopes[-1], curvature


# --- the three derivatives on quadratics --------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_one_step_against_the_closed_form(seed):
    """−η ∇l_i(w) · ∇L1(w'), through the softmax."""
    losses, p, rate = somewhere(seed), at_seed(seed, 3), 0.03
    slopes, _, _ = parts(losses, p, losses.base)
    after = losses.base - rate * p @ slopes
    seen = exact_bilevel.unrolled(losses, p, 1, rate)
    torch.testing.assert_close(seen.w, after, rtol=1e-12, atol=1e-13)
    expected = weight_gradient(p, -rate * slopes @ parts(losses, p, after)[1], 1.0)
    torch.testing.assert_close(seen.gradient, expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("seed", range(3))
def test_unrolled_against_finite_differences_of_the_steps(seed):
    losses, p = somewhere(seed), at_seed(seed, 3)
    found = exact_bilevel.unrolled(losses, p, 5, 0.03).gradient
    measured = outer_differences(lambda p: losses.losses(exact_bilevel.unrolled(losses, p, 5, 0.03).w)[1], p, 1e-5)
    torch.testing.assert_close(found, measured, rtol=1e-6, atol=1e-8)
    one = exact_bilevel.unrolled(losses, p, 1, 0.03).gradient
    assert hg.relative_error(one, measured) > 0.1  # the later steps matter


@pytest.mark.parametrize("seed", range(3))
def test_implicit_against_the_closed_form(seed):
    """With damping at the w reached: −∇l_i (H + δ)⁻¹ ∇L1; and at the minimum with next to none, the hypergradient."""
    losses, p = somewhere(seed), at_seed(seed, 3)
    seen = exact_bilevel.implicit(losses, p, 2, 0.03, damping=0.7, tolerance=1e-12)
    slopes, upper, curvature = parts(losses, p, seen.w)
    solved = torch.linalg.solve(curvature + 0.7 * torch.eye(len(upper), dtype=torch.float64), upper)
    torch.testing.assert_close(seen.gradient, weight_gradient(p, -slopes @ solved, 1.0), rtol=1e-9, atol=1e-11)
    exact = losses.hypergradient(p)
    near = exact_bilevel.implicit(losses, p, 600, 0.1, damping=1e-9, tolerance=1e-12).gradient
    torch.testing.assert_close(near, exact, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("kind", "inner_steps"), [("unrolled", 10), ("implicit", 3)])
def test_the_loop_ends_near_the_best_weights_of_a_quadratic(kind, inner_steps):
    """w is carried on from update to update; what is left comes from cutting the past off, and from w not being settled."""
    problem, best = Quadratic(0), Quadratic(0).best().numpy()
    changes = {"steps": 80, "weight_learning_rate": 0.2, "damping": 1e-6, "tolerance": 1e-8}
    settings = ExactBilevel(**SETTINGS | changes | {"hypergradient": kind, "inner_steps": inner_steps})
    loop, w = exact_bilevel.ExactLoop(settings, 3), problem.base
    assert np.abs(loop.weights - best).max() > 0.2
    for _ in range(settings.steps):
        w = loop.step(From(problem, w))
    assert np.abs(loop.weights - best).max() < 0.02


def test_damping_rises_until_the_hessian_is_positive_and_no_further():
    class Bent(From):
        """The same with a curvature of −5 added everywhere to every source."""

        def objective(self, w, weights, validation):
            return self.problem.objective(w, weights, validation) - 2.5 * weights.sum() * w.square().sum()

    lowest = torch.linalg.eigvalsh(parts(Quadratic(0), at_seed(0, 3), Quadratic(0).base)[2]).min().item() - 5
    assert -5 < lowest < -1
    settings = ExactBilevel(**SETTINGS | {"hypergradient": "implicit", "damping": 1.0})
    loop, losses = exact_bilevel.ExactLoop(settings, 3), somewhere(0)
    with pytest.raises(UserError, match="Conjugate gradients did not converge"):
        exact_bilevel.implicit(Bent(losses.problem, losses.base), at_seed(0, 3), 1, 1e-3, 1.0, 1e-8)
    loop.step(Bent(losses.problem, losses.base))
    assert loop.damping == 10


def test_steps_that_run_away_are_refused():
    loop, losses = exact_bilevel.ExactLoop(ExactBilevel(**SETTINGS | {"hypergradient": "unrolled"}), 3), somewhere(0)
    with pytest.raises(UserError, match="step 0: .* not finite.* Lower `learning_rate` \\(now 0.1\\)"):
        loop.step(From(losses.problem, losses.base * float("inf")))


# --- a language model's losses ------------------------------------------------------------------------------------


def test_flat_losses_are_those_of_the_workflow_and_count_their_tokens(tiny, make_examples):
    model = copy.deepcopy(tiny[0]).double()
    by_source, held_out = [make_examples(3, i, seed=i) for i in range(2)], make_examples(4, seed=9)
    losses = flat_losses.FlatLosses(flat_losses.ready(model), by_source, held_out, 64)
    reference = ResponseLoss(copy.deepcopy(tiny[0]).double().eval())  # fused, with its own attention
    weights = torch.tensor([0.3, 0.7], dtype=torch.float64)
    rows = [example for examples in by_source for example in examples] + held_out
    share = torch.cat([weights.repeat_interleave(3) / 3, torch.full((4,), 0.5 / 4, dtype=torch.float64)])
    objective, alone = reference(pack(rows, 64), share)
    objective.backward()
    gradient = hg.gradient(lambda w: losses.objective(w, weights, 0.5), losses.base)
    expected = torch.cat([parameter.grad.flatten() for parameter in reference.parameters()])
    # transformers computes the norm of a Llama in float32 whatever the model's type.
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(losses.losses(losses.base)[0], alone[:6].reshape(2, 3).mean(1), rtol=1e-6, atol=0)

    training, validation = (sum(len(example.ids) for example in part) for part in (rows[:6], rows[6:]))
    assert losses.backward_tokens == training + validation
    assert losses.forward_tokens == 2 * (training + validation)
    problem, steps = hg.Problem(losses, 0.0), 3
    before = losses.forward_tokens, losses.backward_tokens
    hg.unrolled(problem, weights, [steps], 1e-3, 0.0)
    # Each inner step, forward and back; once more in reverse, where differentiating the gradient is a second way back.
    assert losses.forward_tokens - before[0] == 2 * steps * training + validation
    assert losses.backward_tokens - before[1] == 3 * steps * training + validation


@pytest.mark.parametrize("steps", [1, 3])
def test_through_steps_of_a_language_model_against_finite_differences(steps):
    """In float64; implicit differentiation on the same model is held against retraining in test_hypergradient.py."""
    losses, p = TinyLanguage(0), at_seed(1, 3)
    found = exact_bilevel.unrolled(losses, p, steps, 0.05).gradient
    measured = outer_differences(lambda p: losses.losses(exact_bilevel.unrolled(losses, p, steps, 0.05).w)[1], p, 1e-4)
    torch.testing.assert_close(found, measured, rtol=1e-5, atol=1e-9)


# --- the method ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def problem(tiny, make_examples):
    """problem(**changes) → two sources, one with right and one with wrong answers, and the tiny model, warmed up on both."""
    right, wrong = make_examples(12, seed=1), make_examples(12, source=1, seed=2, answer=lambda a, b: 7)
    warm = copy.deepcopy(tiny[0])
    finetuning.train(warm, right + wrong, finetuning.Recipe(30, 8, 3e-3, 2), 64, stream(0, "warm"))

    def make(**changes):
        reports = []
        given = {
            "sources": ["right", "wrong"],
            "load_model": lambda: copy.deepcopy(warm),
            "load_by_source": lambda: [right, wrong],
            "load_validation": lambda: make_examples(8, seed=3),
            "row_length": 64,
            "progress": lambda done, total, text, tokens=0: reports.append((done, total, text, tokens)),
        }
        return weighting.Problem(**given | changes), reports

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_the_right_source_wins(problem, kind):
    given, reports = problem()
    outcome = weighting.learn(given, ExactBilevel(**SETTINGS | {"hypergradient": kind} | KINDS[kind]), seed=0)
    steps = len(reports)
    assert outcome.weights[0] > 0.8 and outcome.weights.sum() == pytest.approx(1)
    assert outcome.extra["final"] == pytest.approx({"right": outcome.weights[0], "wrong": outcome.weights[1]})
    assert ("damping" in outcome.extra) == (kind == "implicit")
    weights = {(row["step"], row["source"]): row["value"] for row in outcome.trajectory}
    assert weights.keys() == {(step, source) for step in range(steps + 1) for source in ("right", "wrong")}
    assert weights[0, "right"] == 0.5 and weights[steps, "right"] == pytest.approx(outcome.weights[0])
    assert [report[:2] for report in reports] == [(k + 1, steps) for k in range(steps)]
    assert sum(report[3] for report in reports) == outcome.spent.forward_tokens > 0
    assert outcome.spent.backward_tokens > outcome.spent.forward_tokens


def test_the_same_seed_gives_the_same_bits_and_another_does_not(problem):
    settings = ExactBilevel(**SETTINGS | {"hypergradient": "unrolled", "steps": 3})
    first, again, other = (weighting.learn(problem()[0], settings, seed).weights.tolist() for seed in (0, 0, 1))
    assert first == again != other


def test_large_models_and_many_processes_are_refused(problem, monkeypatch):
    settings = ExactBilevel(**SETTINGS | {"hypergradient": "unrolled"})
    monkeypatch.setattr(exact_bilevel, "MOST_PARAMETERS", 50_000)
    with pytest.raises(UserError, match="0 million parameters.* would keep 11 copies.*`gradient_matching`"):
        weighting.learn(problem()[0], settings, seed=0)
    many = problem(load_parallel=lambda: SimpleNamespace(world=2))[0]
    with pytest.raises(UserError, match="runs on one process, and this job has 2"):
        weighting.learn(many, settings, seed=0)


def test_one_step_with_more_than_one_is_refused():
    with pytest.raises(ValidationError, match="inner_steps: 3 with `hypergradient: one_step`, which has one"):
        ExactBilevel(**SETTINGS | {"hypergradient": "one_step"})
