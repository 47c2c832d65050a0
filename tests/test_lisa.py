"""LISA trains exactly the layers it names, draws as stated, and frees what goes back to sleep."""

import copy

import numpy as np
import pytest
import torch
import transformers
from families import FAMILIES, LEAKING, random_model
from test_batching import padded_reference

from scalebio import lisa
from scalebio.batching import pack
from scalebio.chat import Example
from scalebio.config import Lisa
from scalebio.errors import UserError
from scalebio.finetuning import Recipe, train
from scalebio.losses import ResponseLoss
from scalebio.streams import stream


def changed(before, after) -> set[str]:
    """Names of parameters that differ, as layer index or name of the module outside the stack."""
    names = set()
    for (name, old), new in zip(before.named_parameters(), after.parameters(), strict=True):
        if not torch.equal(old, new):
            parts = name.split(".")
            names.add(parts[2] if "layers" in parts else name)
    return names


@pytest.mark.parametrize("embeddings", [True, False])
def test_exactly_the_named_layers_train(tiny, make_examples, embeddings):
    model = copy.deepcopy(tiny[0])
    before = copy.deepcopy(model)
    lisa.activate(model, [1, 3], embeddings)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)
    ResponseLoss(model)(pack(make_examples(4), 64), torch.ones(4))[0].backward()
    optimizer.step()
    outside = {"model.embed_tokens.weight", "model.norm.weight"} if embeddings else set()
    assert changed(before, model) == {"1", "3"} | outside


def test_state_of_sleeping_layers_is_freed(tiny, make_examples):
    model = copy.deepcopy(tiny[0])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    sizes = []
    for layers in ([0], [1], [2], [3]):
        lisa.activate(model, layers, embeddings=False)
        lisa.free_frozen(optimizer)
        ResponseLoss(model)(pack(make_examples(2), 64), torch.ones(2))[0].backward()
        optimizer.step()
        sizes.append(sum(state["exp_avg"].numel() for state in optimizer.state.values()))
    assert len(set(sizes)) == 1 and sizes[0] == sum(p.numel() for p in lisa.find_layers(model)[0].parameters())


def test_draws_are_seeded_without_replacement_and_cover_all():
    def draws():
        return lisa.LayerDraws(6, 2, 5, stream(3, "layers"))

    one, two = draws(), draws()
    seen = [one.at(step) for step in range(100)]
    assert seen == [two.at(step) for step in range(100)]
    assert all((drawn is None) == (step % 5 != 0) for step, drawn in enumerate(seen))
    picked = [drawn for drawn in seen if drawn]
    assert all(len(set(drawn)) == 2 for drawn in picked) and {i for drawn in picked for i in drawn} == set(range(6))


def test_all_layers_active_equals_full_training(tiny, make_examples):
    examples = make_examples(32)
    results = []
    for layers in (None, Lisa(layers=4, interval=3)):
        model = copy.deepcopy(tiny[0])
        train(model, examples, Recipe(6, 8, 1e-3, 1), 64, stream(0, "order"), stream(0, "layers"), layers)
        results.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.equal(*results)


def test_more_layers_than_there_are_is_refused():
    with pytest.raises(UserError, match="lisa.layers is 5, but the model has 4"):
        lisa.LayerDraws(4, 5, 1, stream(0, "x"))


def test_no_stack_is_refused():
    with pytest.raises(UserError, match="no stack of transformer layers"):
        lisa.find_layers(torch.nn.Linear(2, 2))


# --- families of models -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_of_every_family(family):
    model = random_model(*FAMILIES[family])
    stack = lisa.find_layers(model)
    assert len(stack) == model.config.num_hidden_layers == 3
    lisa.activate(model, [1], embeddings=False)
    active = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    assert active == {id(parameter) for parameter in stack[1].parameters()} != set()
    lisa.activate(model, [0, 2], embeddings=True)
    asleep = {id(parameter) for parameter in model.parameters() if not parameter.requires_grad}
    assert asleep == {id(parameter) for parameter in stack[1].parameters()}
    # Attention is in the stack, embeddings are not: it is the layers that were found, not some other list.
    names = " ".join(name for name, _ in stack.named_modules())
    assert "attn" in names or "attention" in names
    assert id(model.get_input_embeddings().weight) not in active


@pytest.mark.parametrize("family", FAMILIES)
def test_packing_equals_one_by_one_in_every_family(family):
    model = random_model(*FAMILIES[family])
    rng = np.random.default_rng(0)
    examples = [Example(rng.integers(3, 64, n), np.arange(n) >= n // 2) for n in (12, 9, 15, 7, 11, 20)]
    with torch.no_grad():
        packed = ResponseLoss(model)(pack(examples, 64), torch.ones(6))[1]
        alone = padded_reference(model, examples)
    assert alone.max() - alone.min() > 0.1
    torch.testing.assert_close(packed, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", LEAKING)
def test_a_family_whose_packed_examples_see_each_other_is_refused(family):
    """Measured: their losses would be wrong by 0.02 to 0.2 nats."""
    model = random_model(*LEAKING[family]).train()
    with pytest.raises(UserError, match="does not keep the examples of a packed row apart"):
        ResponseLoss(model)
    assert model.training


def test_experts_longer_than_the_stack_are_not_taken_for_layers():
    class Layer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.experts = torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(8))

    model = torch.nn.Module()
    model.layers = torch.nn.ModuleList(Layer() for _ in range(3))
    assert lisa.find_layers(model) is model.layers


def test_two_stacks_or_a_wrong_count_are_refused():
    model = torch.nn.Module()
    model.encoder = torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(3))
    model.config = transformers.PretrainedConfig(num_hidden_layers=4)
    with pytest.raises(UserError, match="states 4 layers, but its stack `encoder` has 3"):
        lisa.find_layers(model)
    model.decoder = torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(4))
    with pytest.raises(UserError, match=r"several stacks of layers, encoder \(3\), decoder \(4\)"):
        lisa.find_layers(model)
