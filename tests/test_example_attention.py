"""Attention example by example: the same as with a mask, no padding, and only where a probe shows it."""

import copy

import pytest
import torch
from test_batching import padded_reference
from test_fusing import gpt2
from transformers import Gemma2Config, Gemma2ForCausalLM, MistralConfig, MistralForCausalLM

from scalebio import example_attention
from scalebio.batching import pack
from scalebio.losses import ResponseLoss

SIZES = {
    "vocab_size": 400,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


@pytest.fixture
def llama(tiny):
    return copy.deepcopy(tiny[0])


def test_one_row_holds_every_token_once_and_finds_its_predictors(make_examples):
    batch = pack(make_examples(7), 48)
    row = example_attention.one_row(batch)
    assert row.input_ids.shape == (1, batch.tokens) and sum(row.lengths) == batch.tokens
    assert batch.input_ids.numel() > batch.tokens, "nothing was padded, so nothing is shown"
    flat = batch.input_ids.flatten()
    assert torch.equal(row.input_ids[0][row.predictors], flat[batch.predictors])
    assert torch.equal(row.input_ids[0][row.predictors + 1], batch.targets)
    starts = torch.tensor([0, *row.lengths[:-1]]).cumsum(0)
    assert torch.equal((row.position_ids[0] == 0).nonzero()[:, 0], starts)


def test_losses_and_gradients_equal_padding(llama, make_examples):
    examples = make_examples(9)
    expected = padded_reference(llama, examples)
    loss = ResponseLoss(llama)
    assert loss.by_example
    assert torch.allclose(loss(pack(examples, 48), torch.ones(9))[1], expected, atol=1e-5)


def test_gradients_equal_those_of_the_usual_path(llama, make_examples):
    plain, batch, coefficients = copy.deepcopy(llama), pack(make_examples(6), 48), torch.rand(6)
    ResponseLoss(plain, fused=False)(batch, coefficients)[0].backward()
    ResponseLoss(llama)(batch, coefficients)[0].backward()
    for one, other in zip(llama.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad, atol=1e-5, rtol=1e-3)


def test_a_tied_embedding_gets_its_whole_gradient_in_place(make_examples):
    model = gpt2()
    batch, coefficients = pack(cut(make_examples(6)), 32), torch.rand(6)
    other = copy.deepcopy(model)
    plain, loss = ResponseLoss(other, fused=False), ResponseLoss(model)
    loss.in_place = True
    for _ in range(2):  # the second time onto gradients that are already there
        plain(batch, coefficients)[0].backward()
        loss(batch, coefficients)[0].backward()
    assert model.transformer.wte.weight.grad.layout == torch.strided and not model.transformer.wte.sparse
    for one, wanted in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.allclose(one.grad, wanted.grad, atol=1e-6, rtol=1e-3)


def cut(examples):
    """The same rows in the 64 ids that `gpt2` knows."""
    import dataclasses

    return [dataclasses.replace(example, ids=example.ids % 64) for example in examples]


def test_a_model_that_attends_otherwise_is_left_alone():
    window = MistralForCausalLM(MistralConfig(**SIZES, sliding_window=8))
    capped = Gemma2ForCausalLM(Gemma2Config(**SIZES, head_dim=8))
    for model in (window, capped):
        before = model.config._attn_implementation
        assert not example_attention.prepare(model) and model.config._attn_implementation == before


def test_a_model_that_drops_the_lengths_is_found_out_by_the_probe(llama):
    forward = llama.base_model.forward
    llama.base_model.forward = lambda *a, example_lengths=None, **kw: forward(*a, **kw)
    assert not example_attention.prepare(llama) and llama.config._attn_implementation == "sdpa"


def test_a_prepared_model_still_generates_from_padded_prompts(llama):
    ids = torch.tensor([[0, 0, 5, 6, 7], [5, 6, 7, 8, 9]])
    inputs = {"input_ids": ids, "attention_mask": (ids != 0).long(), "max_new_tokens": 6, "do_sample": False}
    expected = llama.generate(**inputs)
    assert example_attention.prepare(llama)
    assert torch.equal(llama.generate(**inputs), expected)


def test_the_saved_config_says_nothing_of_it(llama, tmp_path):
    llama.save_pretrained(tmp_path / "before")
    example_attention.prepare(llama)
    llama.save_pretrained(tmp_path / "after")
    assert (tmp_path / "before/config.json").read_text() == (tmp_path / "after/config.json").read_text()
