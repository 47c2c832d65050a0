"""The chunked loss and its gradients against plain autograd, exactly; what it refuses; what it never holds."""

import pytest
import torch
import torch.nn.functional as F

from scalebio.linear_cross_entropy import linear_cross_entropy

TOKENS, WIDTH, VOCABULARY = 23, 5, 11


def tensors(dtype=torch.float64, bias=False):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(TOKENS, WIDTH, generator=generator, dtype=dtype).requires_grad_()
    weight = torch.nn.Parameter(torch.randn(VOCABULARY, WIDTH, generator=generator, dtype=dtype))
    offset = torch.nn.Parameter(torch.randn(VOCABULARY, generator=generator, dtype=dtype)) if bias else None
    targets = torch.randint(VOCABULARY, (TOKENS,), generator=generator)
    coefficients = torch.rand(TOKENS, generator=generator, dtype=dtype)
    return hidden, weight, targets, coefficients, offset


def plain(hidden, weight, targets, coefficients, bias):
    tokens = F.cross_entropy(F.linear(hidden, weight, bias), targets, reduction="none")
    return coefficients @ tokens, tokens


@pytest.mark.parametrize("rows_at_a_time", [1, 4, 100])
@pytest.mark.parametrize("bias", [False, True])
def test_equal_to_plain_autograd_in_float64(rows_at_a_time, bias):
    given = tensors(bias=bias)
    trained = [given[0], given[1], *given[4:]] if bias else list(given[:2])
    objective, tokens = plain(*given)
    expected = torch.autograd.grad(3 * objective, trained)
    found, seen = linear_cross_entropy(*given, chunk_elements=rows_at_a_time * VOCABULARY)
    gradients = torch.autograd.grad(3 * found, trained)
    assert torch.allclose(found, objective, rtol=1e-12) and torch.allclose(seen, tokens, rtol=1e-12)
    assert not seen.requires_grad
    for one, other in zip(gradients, expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-10, atol=1e-12)


def test_large_logits_stay_finite():
    hidden, weight, targets, coefficients, _ = tensors(torch.float32)
    objective, tokens = linear_cross_entropy(hidden * 1e4, weight, targets, coefficients)
    objective.backward()
    assert tokens.isfinite().all() and weight.grad.isfinite().all()


def test_a_frozen_head_gets_no_gradient_and_makes_none():
    hidden, weight, targets, coefficients, _ = tensors()
    expected = torch.autograd.grad(plain(hidden, weight, targets, coefficients, None)[0], hidden)[0]
    weight.requires_grad_(False)
    objective, _ = linear_cross_entropy(hidden, weight, targets, coefficients)
    assert objective.grad_fn.gradients[1] is None
    objective.backward()
    assert weight.grad is None and torch.allclose(hidden.grad, expected)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_without_gradients_the_losses_are_the_same(context):
    given = tensors()
    with context():
        objective, tokens = linear_cross_entropy(*given, chunk_elements=3 * VOCABULARY)
    assert not objective.requires_grad and torch.allclose(tokens, plain(*given)[1].detach())


def test_a_gradient_tensor_that_is_given_is_added_to_at_once():
    hidden, weight, targets, coefficients, _ = tensors()
    expected = torch.autograd.grad(plain(hidden, weight, targets, coefficients, None)[0], [hidden, weight])
    held = torch.ones_like(weight)
    objective, _ = linear_cross_entropy(hidden, weight, targets, coefficients, weight_gradient=held)
    assert torch.allclose(held, 1 + expected[1])
    objective.backward()
    assert weight.grad is None and torch.allclose(hidden.grad, expected[0])
    with pytest.raises(RuntimeError, match="cannot be scaled"):
        scaled, _ = linear_cross_entropy(hidden, weight, targets, coefficients, weight_gradient=held)
        (2 * scaled).backward()


def test_a_second_backward_pass_is_refused():
    hidden, weight, targets, coefficients, _ = tensors()
    objective, _ = linear_cross_entropy(hidden, weight, targets, coefficients)
    objective.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="only once"):
        objective.backward()


def test_half_precision_under_autocast_keeps_float32_gradients():
    hidden, weight, targets, coefficients, _ = tensors(torch.float32)
    expected = torch.autograd.grad(plain(hidden, weight, targets, coefficients, None)[0], [hidden, weight])
    with torch.autocast("cpu", torch.bfloat16):
        objective, tokens = linear_cross_entropy(hidden, weight, targets, coefficients, chunk_elements=3 * VOCABULARY)
    objective.backward()
    assert tokens.dtype == hidden.grad.dtype == weight.grad.dtype == torch.float32
    for found, wanted in zip((hidden.grad, weight.grad), expected, strict=True):
        assert (found - wanted).norm() < 0.02 * wanted.norm()


def test_no_tensor_larger_than_the_budget_of_logits():
    hidden, weight, targets, coefficients, _ = tensors()
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, arguments=(), options=None):
            nonlocal largest
            made = function(*arguments, **(options or {}))
            if isinstance(made, torch.Tensor):
                largest = max(largest, made.numel())
            return made

    with Watch():
        linear_cross_entropy(hidden, weight, targets, coefficients, chunk_elements=4 * VOCABULARY)
    assert 4 * VOCABULARY <= largest <= TOKENS * WIDTH < TOKENS * VOCABULARY
