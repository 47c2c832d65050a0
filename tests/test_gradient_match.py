"""The quadratic programme against closed forms, the products against autograd, the check against known weights."""

import copy

import numpy as np
import pytest
import torch

from scalebio.config import Lisa
from scalebio.confirmation import Check, MatchRecipe, confirm, crosswise, mismatch_ratio
from scalebio.errors import UserError
from scalebio.gradient_match import Average, Matcher, Products, positive

RECIPE = MatchRecipe(steps=20, learning_rate=1e-3, per_source=4, validation_batch=6, ramp=2)


def from_gradients(gradients: np.ndarray, target: np.ndarray) -> Products:
    return Products(gradients @ gradients.T, gradients @ target)


def test_a_mixture_of_gradients_is_taken_apart_exactly():
    gradients = np.random.default_rng(0).normal(size=(4, 30))
    truth = np.array([0.7, 0.3, 0, 0])
    np.testing.assert_allclose(from_gradients(gradients, truth @ gradients).solve(), truth, atol=1e-5)


def test_two_sources_against_the_closed_form():
    """λ_0 = clip((c_0 − c_1 + G_11 − G_01) / (G_00 + G_11 − 2 G_01), 0, 1): the minimum of a parabola on an interval."""
    rng = np.random.default_rng(1)
    for _ in range(20):
        products = from_gradients(rng.normal(size=(2, 3)), rng.normal(size=3))
        g, c = products.gram, products.cross
        expected = np.clip((c[0] - c[1] + g[1, 1] - g[0, 1]) / (g[0, 0] + g[1, 1] - 2 * g[0, 1]), 0, 1)
        assert products.solve()[0] == pytest.approx(expected, abs=1e-5)


def test_no_weights_on_a_grid_match_better():
    rng = np.random.default_rng(2)
    products = from_gradients(rng.normal(size=(3, 4)), rng.normal(size=4))
    grid = [np.array([a, b, 20 - a - b]) / 20 for a in range(21) for b in range(21 - a)]
    assert products.mismatch(products.solve()) <= min(map(products.mismatch, grid)) + 1e-9


def test_scale_and_noise_in_the_gram_matrix_do_not_matter_to_the_solver():
    gradients = np.random.default_rng(3).normal(size=(3, 10))
    truth = np.array([0.2, 0.5, 0.3])
    small = Products(1e-9 * gradients @ gradients.T, 1e-9 * gradients @ (truth @ gradients))
    np.testing.assert_allclose(small.solve(), truth, atol=1e-4)


def test_positive_cuts_negative_eigenvalues_only():
    matrix = np.diag([2.0, -1.0])
    np.testing.assert_allclose(positive(matrix), np.diag([2.0, 0.0]), atol=1e-12)
    np.testing.assert_allclose(positive(np.eye(3)), np.eye(3), atol=1e-12)


def test_average_divides_by_the_mean_norm_and_forgets():
    plain, forgetful = Average(), Average(0.5)
    with pytest.raises(ValueError, match="no products"):
        _ = plain.value
    for value in (1.0, 3.0):
        for average in (plain, forgetful):
            average.add(Products(np.full((1, 1), value), np.full(1, value)), norm=2.0)
    assert plain.value.gram[0, 0] == pytest.approx((1 + 3) / 2 / 2)
    assert forgetful.value.cross[0] == pytest.approx((0.5 * 1 + 3) / 1.5 / 2)


@pytest.fixture
def matcher(tiny, make_examples):
    """matcher(**kind) → sources of right and of constant answers, and a validation set of right ones."""

    def make(layers=None, recipe=RECIPE):
        by_source = [make_examples(24, 0, seed=1), make_examples(24, 1, seed=2, answer=lambda a, b: 7)]
        return Matcher(copy.deepcopy(tiny[0]), by_source, make_examples(24, seed=3), recipe, 0, 64, layers)

    return make


def test_products_against_autograd(matcher):
    """The second step's products redone from the model before it, its Adam state and the same draws."""
    run, twin = matcher(), matcher()
    weights = np.array([0.6, 0.4])
    assert run.step(weights) is None  # Adam has no second moment yet
    twin.draws.next()
    examples = twin.draws.next()
    held_out = [twin.validation[j] for j in twin.validation_draws.take(RECIPE.validation_batch)]
    model, parameters = copy.deepcopy(run.model), list(run.model.parameters())
    metric = [1 / ((run.optimizer.state[p]["exp_avg_sq"] / 0.001).sqrt() + 1e-8) for p in parameters]

    def gradient(rows):
        loss = 0
        for row in rows:
            ids = torch.as_tensor(row.ids)[None]
            tokens = torch.nn.functional.cross_entropy(model(ids).logits[0, :-1], ids[0, 1:], reduction="none")
            loss = loss + tokens[torch.as_tensor(row.response[1:])].mean() / len(rows)
        return torch.autograd.grad(loss, list(model.parameters()))

    def product(first, second):
        return sum((a * b * m).sum().item() for a, b, m in zip(first, second, metric, strict=True))

    seen, norm = run.step(weights)
    whole = [gradient(examples[:4]), gradient(examples[4:])]
    halves = [[gradient(examples[i : i + 2]) for i in (start, start + 2)] for start in (0, 4)]
    assert seen.gram[0, 1] == pytest.approx(product(*whole), rel=1e-3)
    assert seen.gram[0, 0] == pytest.approx(product(*halves[0]), rel=1e-3)
    assert seen.gram[1, 1] == pytest.approx(product(*halves[1]), rel=1e-3)
    assert seen.cross[1] == pytest.approx(product(whole[1], gradient(held_out)), rel=1e-3)
    assert norm == pytest.approx(np.mean([product(g, g) for g in whole]), rel=1e-3)


def test_it_trains_on_the_weights_as_plain_training_does(matcher):
    """One step's gradient is that of Σ λ_i l_i: after Adam's first step every parameter moved by ± the rate."""
    run = matcher()
    before = [p.detach().clone() for p in run.model.parameters()]
    run.step(np.array([1.0, 0.0]))
    other = matcher()
    other.step(np.array([0.0, 1.0]))
    moved = [(a - b).abs().max().item() for a, b in zip(run.model.parameters(), before, strict=True)]
    rate = RECIPE.learning_rate / 3  # the first step of a ramp of two
    assert max(moved) == pytest.approx(rate, rel=1e-3)
    assert any((a != b).any() for a, b in zip(run.model.parameters(), other.model.parameters(), strict=True))


def test_under_lisa_only_active_layers_are_measured(matcher):
    run = matcher(Lisa(layers=1, interval=2, embeddings=False))
    seen = [run.step(np.array([0.5, 0.5])) for _ in range(4)]
    # Freshly drawn layers have no second moment to measure by.
    assert seen[0] is None and seen[1] is not None
    assert len(run.gradient(run.validation)) < sum(p.numel() for p in run.model.parameters())


def test_one_example_per_source_is_refused(matcher):
    with pytest.raises(UserError, match="at least 2"):
        matcher(recipe=MatchRecipe(20, 1e-3, 1, 6, 2))


def test_ratio_is_nought_at_the_truth_one_at_equal_weights_and_undefined_where_they_are_best():
    rng = np.random.default_rng(4)
    gradients, truth = rng.normal(size=(3, 20)), np.array([0.7, 0.3, 0])
    blocks = [from_gradients(gradients, truth @ gradients)] * 6
    assert mismatch_ratio(blocks, truth) == pytest.approx(0, abs=1e-6)
    assert mismatch_ratio(blocks, np.full(3, 1 / 3)) == pytest.approx(1)
    assert mismatch_ratio(blocks, np.array([0, 0, 1.0])) > 1
    noise = [Products(np.eye(2), np.array([sign, -sign])) for sign in (1.0, 1.0, -1.0, -1.0, 0.5, -0.5)]
    assert mismatch_ratio(noise, np.array([1.0, 0.0])) is None


def test_the_best_match_of_one_half_is_judged_on_the_other():
    even, odd = (from_gradients(np.eye(2), np.array(target)) for target in ([1.0, 0], [0, 1.0]))
    for i, (block, best) in enumerate(crosswise([even, odd, even, odd])):
        assert block is (odd if i % 2 else even)
        np.testing.assert_allclose(best, [1, 0] if i % 2 else [0, 1], atol=1e-6)


def test_an_undefined_ratio_is_not_confirmed():
    assert Check(None, 0.05, "no way").summary["verdict"] == "not confirmed"
    assert Check(0.1, 0.1, "").verdict == "confirmed" and Check(0.11, 0.1, "").verdict == "not confirmed"


def test_too_few_steps_say_so(matcher):
    check = confirm(matcher(), np.array([0.5, 0.5]), steps=3)
    assert check.ratio is None and "too few" in check.reason


def test_the_check_passes_right_weights_and_flags_wrong_ones(matcher):
    recipe = MatchRecipe(steps=40, learning_rate=1e-3, per_source=4, validation_batch=8, ramp=2)
    right, wrong = (
        confirm(matcher(recipe=recipe), np.array(weights), steps=30) for weights in ([0.98, 0.02], [0.1, 0.9])
    )
    assert right.verdict == "confirmed" and right.ratio <= 0.05
    assert wrong.verdict == "not confirmed" and wrong.ratio > 1
