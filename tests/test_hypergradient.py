"""ScaleBiO's λ gradient against closed forms, implicit and unrolled differentiation, and finite differences."""

import functools

import numpy as np
import pytest
import torch

from scalebio import hypergradient as hg
from scalebio import hypergradient_check as checks
from scalebio.errors import UserError
from scalebio.quadratic import Quadratic
from scalebio.tiny_language import TinyLanguage

EQUAL = torch.full((3,), 1 / 3, dtype=torch.float64)


def outer_differences(value, p: torch.Tensor, width: float) -> torch.Tensor:
    """Central differences of value(softmax(λ)) in λ."""
    logits = p.log()
    shifts = width * torch.eye(len(p), dtype=p.dtype)
    both = [[value(torch.softmax(logits + sign * shift, 0)).item() for sign in (1, -1)] for shift in shifts]
    return torch.tensor([(up - down) / (2 * width) for up, down in both], dtype=p.dtype)


# --- quadratics: everything is known ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_closed_form_is_the_derivative_of_the_outer_loss(seed):
    problem = Quadratic(seed)
    p = checks.at_seed(seed, 3)
    measured = outer_differences(lambda p: problem.losses(problem.minimiser(p))[1], p, 1e-5)
    torch.testing.assert_close(problem.hypergradient(p), measured, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("seed", checks.QUADRATIC_SEEDS)
def test_the_penalty_error_falls_as_one_over_alpha(seed):
    rows = checks.quadratic_rows(seed)
    alphas, errors = ([row[key] for row in rows] for key in ("alpha", "relative_error"))
    assert alphas[0] == 1 and alphas[-1] == pytest.approx(1000)
    assert checks.slope(alphas, errors) == pytest.approx(-1, abs=0.1)
    assert errors[-1] < 1e-3


def test_a_wrong_gradient_does_not_converge():
    """The bar above is one that a flipped sign, a forgotten α or a forgotten softmax would miss."""
    problem = Quadratic(0)
    exact = problem.hypergradient(EQUAL)
    for alpha in (10.0, 1000.0):
        gap = problem.losses(problem.minimiser(EQUAL, alpha))[0] - problem.losses(problem.minimiser(EQUAL))[0]
        right = problem.penalty_gradient(EQUAL, alpha)
        for wrong in (-right, right / alpha, alpha * gap):
            assert hg.relative_error(wrong, exact) > 0.5
    assert hg.relative_error(right, exact) < 1e-3


@pytest.mark.parametrize("seed", range(2))
def test_the_references_agree_with_the_closed_form(seed):
    """The same code that judges the language model, on a problem where the answer is known."""
    losses, p = Quadratic(seed), checks.at_seed(seed, 3)
    problem = hg.Problem(losses, ridge=0.0)
    u = hg.trained(problem, p)
    torch.testing.assert_close(u, losses.minimiser(p), rtol=0, atol=1e-11)
    exact = losses.hypergradient(p)
    torch.testing.assert_close(hg.implicit(problem, p, u), exact, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(hg.unrolled(problem, p, [400], 0.1, 0.5)[400][1], exact, rtol=1e-8, atol=1e-10)
    w = hg.pulled(problem, p, 10.0, u)
    torch.testing.assert_close(w, losses.minimiser(p, 10.0), rtol=0, atol=1e-11)
    torch.testing.assert_close(
        hg.penalty(problem, p, 10.0, u, w), losses.penalty_gradient(p, 10.0), rtol=1e-8, atol=1e-10
    )


@pytest.mark.parametrize("seed", checks.LOOP_SEEDS)
def test_the_best_weights_are_a_minimum_inside_the_simplex(seed):
    problem = Quadratic(seed)
    for alpha in (None, 10.0):
        best = problem.best(alpha)
        assert best.min() > 0.02 and best.sum() == pytest.approx(1)
    best, value = problem.best(), lambda p: problem.losses(problem.minimiser(p))[1]
    rng = np.random.default_rng(0)
    for near in torch.from_numpy(rng.normal(size=(20, 3))):
        assert value(torch.softmax(best.log() + 0.1 * near, 0)) > value(best)


def test_a_minimum_at_the_border_is_refused():
    with pytest.raises(UserError, match="not inside the simplex"):
        Quadratic(4).best()


@pytest.mark.parametrize("seed", checks.LOOP_SEEDS)
def test_the_loop_ends_at_the_known_weights(seed):
    """Bilevel itself: at the penalty problem's minimum, and as near p* as that is."""
    problem = Quadratic(seed)
    found = checks.run_quadratic(problem, 10.0, seed, steps=2000)
    assert (found - problem.best(10.0)).abs().max() < 1e-4
    assert (found - problem.best()).abs().max() < 0.01
    # 1/α: ten times the penalty, a tenth of the bias.
    biases = [(problem.best(alpha) - problem.best()).abs().max().item() for alpha in (10.0, 100.0)]
    assert biases[0] / biases[1] == pytest.approx(10, rel=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("seed", checks.LOOP_SEEDS[:2])
def test_the_loop_with_random_blocks_ends_at_the_known_weights(seed):
    problem = Quadratic(seed)
    found = checks.run_quadratic(problem, 10.0, seed, checks.BLOCKS)
    assert (found - problem.best(10.0)).abs().max() < 0.01
    assert (found - problem.best()).abs().max() < 0.01


# --- a tiny language model ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def language():
    """The tiny model, its lower problem, the minimum u at equal weights and the hypergradient there."""
    losses = TinyLanguage(0)
    problem = hg.Problem(losses, checks.RIDGE)
    u = hg.trained(problem, EQUAL)
    return losses, problem, u, hg.implicit(problem, EQUAL, u)


def test_the_losses_are_those_of_the_workflow(language):
    from test_batching import padded_reference

    losses = language[0]
    sources, held_out = losses.losses(losses.base)
    model = losses.model()
    alone = torch.stack([padded_reference(model, examples).mean() for examples in losses.by_source]).detach()
    torch.testing.assert_close(sources, alone, rtol=0, atol=1e-12)
    torch.testing.assert_close(held_out, padded_reference(model, losses.validation).mean().detach(), rtol=0, atol=1e-12)
    assert sources.dtype == torch.float64


def test_implicit_differentiation_equals_finite_differences_of_retraining(language):
    losses, problem, u, exact = language
    value = functools.partial(hg.trained, problem, start=u)
    measured = outer_differences(lambda p: losses.losses(value(p))[1], EQUAL, 1e-3)
    assert hg.relative_error(exact, measured) < 1e-4


def test_reverse_mode_by_hand_equals_autograd_through_the_steps(language):
    losses, problem, _, _ = language
    logits = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    p = torch.softmax(logits, 0)
    before = now = losses.base.clone().requires_grad_()
    for _ in range(4):
        slope = torch.autograd.grad(problem.lower(now, p), now, create_graph=True)[0]
        before, now = now, now - 1e-3 * slope + 0.95 * (now - before)
    by_autograd = torch.autograd.grad(losses.objective(now, torch.zeros_like(EQUAL), 1.0), logits)[0]
    end, found = hg.unrolled(problem, EQUAL, [4], 1e-3, 0.95)[4]
    torch.testing.assert_close(end, now.detach(), rtol=0, atol=1e-13)
    torch.testing.assert_close(found, by_autograd, rtol=1e-9, atol=1e-13)


def test_unrolled_differentiation_approaches_the_implicit_one(language):
    _, problem, _, exact = language
    found = hg.unrolled(problem, EQUAL, [50, 200], checks.RATE, checks.MOMENTUM)
    errors = [hg.relative_error(found[count][1], exact) for count in (50, 200)]
    assert errors[1] < 0.05 and errors[1] < errors[0] / 5


def test_the_penalty_gradient_points_along_the_hypergradient(language):
    _, problem, u, exact = language
    errors = []
    for alpha in (1000.0, 100.0):
        found = hg.penalty(problem, EQUAL, alpha, u, hg.pulled(problem, EQUAL, alpha, u))
        assert hg.cosine(found, exact) >= 0.99
        assert hg.cosine(-found, exact) < 0
        errors.append(hg.relative_error(found, exact))
    assert errors[1] / errors[0] == pytest.approx(10, rel=0.1) and errors[0] < 1e-2


@pytest.mark.slow
def test_the_loop_sees_the_hypergradient_once_u_and_w_have_settled(language):
    losses, _, _, exact = language
    seen = checks.run_language(losses, 10.0, checks.LANGUAGE_STEPS)
    assert hg.cosine(seen[-1], exact) >= 0.99


def test_a_problem_that_is_not_well_posed_is_refused():
    losses = Quadratic(0)
    curved_down = hg.hessian(lambda w: hg.Problem(losses, -100.0).lower(w, EQUAL), losses.base)
    with pytest.raises(UserError, match="Raise the ridge"):
        hg.solve(curved_down, torch.ones_like(losses.base), 1e-10)
