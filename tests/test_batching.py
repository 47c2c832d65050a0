"""Packing changes nothing but the cost; draws are stratified and use every row before any comes again."""

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaForCausalLM

from scalebio.batching import Cycle, StratifiedDraws, pack
from scalebio.losses import ResponseLoss
from scalebio.streams import stream


def padded_reference(model, examples) -> torch.Tensor:
    """Each example alone, full logits, plain cross-entropy: an independent way to the same means."""
    means = []
    for example in examples:
        ids = torch.from_numpy(example.ids)[None]
        logits = model(input_ids=ids).logits[0]
        at = np.flatnonzero(example.response)
        loss = torch.nn.functional.cross_entropy(logits[at - 1], ids[0, at])
        means.append(loss)
    return torch.stack(means)


@pytest.fixture(scope="module")
def gpt2():
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=400, n_embd=32, n_layer=2, n_head=2, n_positions=128, bos_token_id=1, eos_token_id=1)
    return GPT2LMHeadModel(config).eval()


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_packing_equals_one_by_one(kind, tiny, gpt2, make_examples):
    model = tiny[0].eval() if kind == "llama" else gpt2
    examples = make_examples(9)
    with torch.no_grad():
        _, packed = ResponseLoss(model)(pack(examples, 48), torch.ones(9))
        torch.testing.assert_close(packed, padded_reference(model, examples), atol=1e-5, rtol=0)


def test_packed_gradients_equal_one_by_one(tiny, make_examples):
    model, examples = tiny[0].eval(), make_examples(5)
    gradients = []
    coefficients = torch.tensor([0.5, 0.1, 0.0, 2.0, 1.0])
    objectives = (
        lambda: ResponseLoss(model)(pack(examples, 64), coefficients)[0],
        lambda: coefficients @ padded_reference(model, examples),
    )
    for objective in objectives:
        model.zero_grad()
        objective().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-4)


def test_rescaled_logits_fall_back_to_the_full_forward(tiny, make_examples):
    """A model that caps its logits must not be scored without the cap."""

    class Capped(LlamaForCausalLM):
        def forward(self, *args, **kwargs):
            output = super().forward(*args, **kwargs)
            output.logits = 0.5 * torch.tanh(output.logits / 0.5)
            return output

    model = Capped(tiny[0].config).eval()
    model.load_state_dict(tiny[0].state_dict())
    examples = make_examples(3)
    loss = ResponseLoss(model)
    assert not loss.head_is_plain and ResponseLoss(tiny[0]).head_is_plain
    losses = loss(pack(examples, 64), torch.ones(3))[1]
    torch.testing.assert_close(losses, padded_reference(model, examples).detach(), atol=1e-5, rtol=0)


def test_pack_fills_rows_and_keeps_order(make_examples):
    examples = make_examples(12)
    batch = pack(examples, 64)
    assert batch.examples == 12 and batch.tokens == sum(len(e.ids) for e in examples)
    assert batch.input_ids.shape[0] < 12 and batch.input_ids.shape[1] <= 64
    for i, example in enumerate(examples):
        assert batch.targets[batch.samples == i].tolist() == example.ids[example.response].tolist()


def test_cycle_uses_all_before_repeating():
    cycle = Cycle(7, stream(0, "x"))
    drawn = [i for _ in range(7) for i in cycle.take(3)]
    assert all(sorted(drawn[k : k + 7]) == list(range(7)) for k in (0, 7, 14))


def test_stratified_draws_hold_every_source(make_examples):
    by_source = [make_examples(5, source=i, seed=i) for i in range(3)]
    draws = StratifiedDraws(by_source, 2, stream(0, "batches"))
    for _ in range(4):
        assert [example.source for example in draws.next()] == [0, 0, 1, 1, 2, 2]
