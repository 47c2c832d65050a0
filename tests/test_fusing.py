"""A rewired model computes the same outputs and gradients, and is saved and loaded as before."""

import copy

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from scalebio.fusing import fuse


def gpt2(activation="gelu_new"):
    torch.manual_seed(0)
    sizes = {"vocab_size": 64, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 32}
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    return GPT2LMHeadModel(GPT2Config(**sizes, **ends, activation_function=activation)).eval()


def output_and_gradients(model):
    ids = torch.arange(1, 17)[None]
    logits = model(input_ids=ids).logits
    logits.square().mean().backward()
    return [logits.detach(), *(parameter.grad for parameter in model.parameters())]


@pytest.mark.parametrize("activation", ["gelu_new", "gelu_fast"])
def test_gpt2_is_the_same_function_with_one_operation_a_layer(activation):
    model = gpt2(activation)
    expected = output_and_gradients(copy.deepcopy(model))
    assert fuse(model) == 2
    assert all(isinstance(layer.mlp.act, torch.nn.GELU) for layer in model.transformer.h)
    for found, wanted in zip(output_and_gradients(model), expected, strict=True):
        assert torch.allclose(found, wanted, atol=1e-6, rtol=1e-4)


def test_a_second_time_and_a_llama_change_nothing(tiny):
    model = gpt2()
    fuse(model)
    assert fuse(model) == 0
    assert fuse(copy.deepcopy(tiny[0])) == 0


def test_a_rewired_model_is_saved_as_it_was(tmp_path):
    plain, fused = gpt2(), gpt2()
    fuse(fused)
    plain.save_pretrained(tmp_path / "plain")
    fused.save_pretrained(tmp_path / "fused")
    files = [(tmp_path / kind / "config.json").read_text() for kind in ("plain", "fused")]
    assert files[0] == files[1] and '"gelu_new"' in files[0]
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "fused")
    ids = torch.arange(1, 9)[None]
    assert torch.allclose(loaded.eval()(input_ids=ids).logits, plain(input_ids=ids).logits, atol=1e-6)
