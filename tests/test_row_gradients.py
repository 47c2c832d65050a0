"""Gradients of single rows from one pass against a backward pass for each row."""

import math

import families
import numpy as np
import pytest
import torch

from scalebio import lora
from scalebio.chat import Example
from scalebio.config import Lora
from scalebio.errors import UserError
from scalebio.losses import ResponseLoss
from scalebio.parallel import Parallel
from scalebio.row_gradients import row_gradients
from scalebio.source_gradients import flat_gradient

ROW_LENGTH = 24


def rows(lengths, words=60):
    rng = np.random.default_rng(0)
    return [Example(rng.integers(0, words, size), np.arange(size) >= (size + 1) // 2) for size in lengths]


def adapted(family):
    """A tiny model of a family in float64 with adapters whose second matrix is not zero, its loss, and what trains."""
    model = families.random_model(*families.FAMILIES[family]).double().eval()
    lora.attach(model, Lora(rank=2, alpha=4, target="attention"), 0)
    parameters = list(lora.trainable(model).values())
    generator = torch.Generator().manual_seed(1)
    for parameter in parameters:
        parameter.data = torch.randn(parameter.shape, generator=generator).double() / 10
    for parameter in model.parameters():
        parameter.requires_grad_(any(parameter is one for one in parameters))
    return ResponseLoss(model), parameters


@pytest.mark.parametrize("family", ["Llama, Yi", "GPT2"])
@pytest.mark.parametrize("padded", [False, True])
def test_each_row_has_the_gradient_of_its_own_backward_pass(family, padded):
    loss, parameters = adapted(family)
    assert loss.by_example
    # As on a GPU: several rows, padded, under a mask.
    loss.by_example = not padded
    examples = rows([5, 17, 9, 22, 2, 13])
    found = row_gradients(loss, examples, parameters, ROW_LENGTH, Parallel())
    assert found.shape == (len(examples), sum(parameter.numel() for parameter in parameters))
    for own, example in zip(found, examples, strict=True):
        expected = flat_gradient(loss, [example], parameters, ROW_LENGTH)
        assert expected.abs().max() > 1e-4
        torch.testing.assert_close(own, expected, rtol=1e-10, atol=1e-13)
    torch.testing.assert_close(found.mean(0), flat_gradient(loss, examples, parameters, ROW_LENGTH))


def test_more_rows_than_a_pass_holds_come_in_several(monkeypatch):
    loss, parameters = adapted("Llama, Yi")
    examples, whole = rows([5, 17, 9, 22, 2, 13]), []
    once = row_gradients(loss, examples, parameters, ROW_LENGTH, Parallel())
    monkeypatch.setattr("scalebio.parallel.PASS_TOKENS", {"cpu": 20})
    loss.register_forward_pre_hook(lambda module, inputs: whole.append(inputs[0].tokens))
    torch.testing.assert_close(row_gradients(loss, examples, parameters, ROW_LENGTH, Parallel()), once)
    assert whole == [22, 17, 15, 14]


def test_rows_at_fault_are_named_and_other_parameters_refused():
    loss, parameters = adapted("Llama, Yi")
    with pytest.raises(KeyError):
        row_gradients(loss, rows([5]), [torch.nn.Parameter(torch.zeros(2, 2))], ROW_LENGTH, Parallel())
    parameters[0].data.fill_(math.nan)
    with pytest.raises(UserError, match="rows at fault are among: a row of source number 0"):
        row_gradients(loss, rows([5, 6]), parameters, ROW_LENGTH, Parallel())
