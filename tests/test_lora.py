"""Adapters stand where they should, they alone train, they train as LoRA says, and what is saved is a plain model."""

import copy
import json

import jobs
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from test_batching import padded_reference
from test_lisa import FAMILIES, random_model
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.pytorch_utils import Conv1D

from scalebio import base_models, lisa, lora, records, weighting
from scalebio.batching import pack
from scalebio.bilevel import Bilevel
from scalebio.chat import Example, encode_all
from scalebio.config import Lora
from scalebio.config_methods import ScaleBiO
from scalebio.confirmation import recipe
from scalebio.errors import UserError
from scalebio.finetuning import FineTuning, Recipe, train
from scalebio.gradient_match import Matcher
from scalebio.learner import Learner
from scalebio.losses import mean_losses
from scalebio.parallel import Parallel
from scalebio.streams import stream

LORA = Lora(rank=4, alpha=8)
SETTINGS = {"kind": "scalebio", "steps": 4, "learning_rate": 1e-2, "per_source": 2, "validation_batch": 3, "ramp": 2}
# Per layer: all linear layers, and those of attention.
COUNTS = {"GPT2": (4, 2), "GPTNeoX": (4, 2), "Mixtral": (4, 4)}


@pytest.fixture
def adapted(tiny):
    """adapted(**changes) → a copy of the tiny model with fresh adapters."""

    def make(seed: int = 0, **changes):
        return lora.attach(copy.deepcopy(tiny[0]), LORA.model_copy(update=changes), seed)

    return make


def stir(model, seed: int = 0) -> None:
    """Give B values, as training would: at zero nothing shows."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in lora.trainable(model).values():
            parameter.add_(0.2 * torch.randn_like(parameter))


def tokens(count: int = 6) -> list[Example]:
    rng = np.random.default_rng(0)
    return [Example(rng.integers(3, 64, 8 + i), np.arange(8 + i) >= 4) for i in range(count)]


def pack_rows(rows):
    return pack(rows, 64)


def frozen(model) -> dict[str, torch.Tensor]:
    own = lora.trainable(model)
    return {name: parameter.clone() for name, parameter in model.named_parameters() if name not in own}


# --- where adapters stand -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_gets_adapters_trains_them_and_merges_them(family):
    model = random_model(*FAMILIES[family])
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    examples = tokens()
    with torch.no_grad():
        losses = padded_reference(model, examples)
    linear, attention = COUNTS.get(family, (7, 4))
    assert len(lora.targets(model, "linear")) == 3 * linear and len(lora.targets(model, "attention")) == 3 * attention
    lora.attach(model, LORA, 0)
    assert len(lora.adapters(model)) == 3 * linear and len(lisa.find_layers(model)) == 3
    with torch.no_grad():  # B is zero
        torch.testing.assert_close(padded_reference(model, examples), losses, atol=0, rtol=0)
    rows = train(model, examples, Recipe(3, 6, 1e-2, 0), 64, stream(0, "order"))
    trained = padded_reference(model, examples)
    assert rows[-1]["loss"] < rows[0]["loss"] and not torch.equal(trained, losses)
    lora.merge(model)
    with torch.no_grad():
        torch.testing.assert_close(padded_reference(model, examples), trained, atol=1e-5, rtol=0)
    after = dict(model.named_parameters())
    assert after.keys() == before.keys() and not hasattr(model, "peft_config")
    linear_names = [name for name, module in model.named_modules() if isinstance(module, (torch.nn.Linear, Conv1D))]
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    inside = {f"{name}.weight" for name in linear_names} - {"lm_head.weight", "embed_out.weight"}
    assert moved == inside


def test_a_model_without_attention_that_says_so_is_refused_with_the_way_out():
    model = torch.nn.Module()
    model.layers = torch.nn.ModuleList(torch.nn.Sequential(torch.nn.Linear(2, 2)) for _ in range(3))
    assert lora.targets(model, "linear") == ["layers.0.0", "layers.1.0", "layers.2.0"]
    with pytest.raises(UserError, match="no attention layers that adapters could stand at: set `lora.target: linear`"):
        lora.targets(model, "attention")


def test_adapters_on_adapters_are_refused(adapted):
    with pytest.raises(UserError, match="has adapters already"):
        lora.attach(adapted(), LORA, 0)


def test_a_comes_from_the_seed_alone_and_b_is_zero(adapted):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, again, other = adapted(0), adapted(0), adapted(1)
    assert torch.equal(torch.rand(1), expected)  # torch's own stream is left alone
    pairs = zip(*(lora.trainable(model).items() for model in (first, again, other)), strict=True)
    for (name, one), (_, two), (_, three) in pairs:
        assert torch.equal(one, two) and torch.equal(one, three) == ("lora_B" in name)
        assert ("lora_B" in name) == (not one.any())


# --- how they train -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["linear", "attention"])
def test_two_steps_against_plain_torch(tiny, make_examples, which):
    """W + alpha / rank · B A written into the model by hand, autograd on unpacked examples, AdamW; float64."""
    examples = make_examples(6)
    settings = Lora(rank=4, alpha=12, target=which)
    model = lora.attach(copy.deepcopy(tiny[0]).double(), settings, 0)
    stir(model)  # from B = 0, A would have no gradient
    plain = copy.deepcopy(tiny[0]).double().eval()
    pairs = {
        name: [layer.lora_A["default"].weight.detach().clone(), layer.lora_B["default"].weight.detach().clone()]
        for name, layer in lora.adapters(model)
    }
    assert len(pairs) == 4 * (7 if which == "linear" else 4)
    own = [matrix.requires_grad_() for pair in pairs.values() for matrix in pair]
    optimizer = torch.optim.AdamW(own, weight_decay=0.0)
    coefficients = torch.linspace(0.05, 0.3, 6, dtype=torch.float64)
    one = Learner("w", model, pack_rows, Parallel())
    for rate in (1e-2, 5e-3):
        losses = torch.func.functional_call(
            Unpacked(plain, examples),
            {
                f"model.{name}.weight": plain.get_submodule(name).weight.detach() + 12 / 4 * b @ a
                for name, (a, b) in pairs.items()
            },
            (),
        )
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        (coefficients @ losses).backward()
        optimizer.step()
        torch.testing.assert_close(one.step(examples, coefficients, rate), losses.detach(), atol=1e-9, rtol=0)
    for name, layer in lora.adapters(model):
        torch.testing.assert_close(layer.lora_A["default"].weight, pairs[name][0], atol=1e-8, rtol=0)
        torch.testing.assert_close(layer.lora_B["default"].weight, pairs[name][1], atol=1e-8, rtol=0)


class Unpacked(torch.nn.Module):
    """The losses of examples, one at a time and padded, as a module, so that its weights can be replaced."""

    def __init__(self, model, examples):
        super().__init__()
        self.model, self.examples = model, examples

    def forward(self):
        return padded_reference(self.model, self.examples)


def test_only_adapters_change_and_only_they_have_state(adapted, make_examples):
    model = adapted(target="attention")
    before, own = frozen(model), {name: p.clone() for name, p in lora.trainable(model).items()}
    job = FineTuning(model, make_examples(20), Recipe(4, 5, 1e-2, 1), 64, stream(0, "order"))
    while job.done < job.steps:
        job.step()
    after = dict(model.named_parameters())
    assert all(torch.equal(before[name], after[name]) for name in before) and len(before) > 20
    assert not any(torch.equal(own[name], after[name]) for name in own) and len(own) == 2 * 4 * 4
    assert len(job.learner.optimizer.state) == len(own)
    tensors, _ = job.state()
    assert len(tensors) == 3 * len(own)  # a checkpoint holds no frozen weight


def test_a_frozen_weight_with_a_gradient_is_found(adapted, make_examples):
    one = Learner("w", adapted(), pack_rows, Parallel())
    weight = one.loss.model.model.layers[2].mlp.up_proj.base_layer.weight.requires_grad_(True)
    original = one._backward

    def backward(*arguments):
        losses = original(*arguments)
        weight.requires_grad_(False)
        return losses

    one._backward = backward
    with pytest.raises(UserError, match="layer 2 of w has a gradient outside its adapters"):
        one.step(make_examples(4), torch.full((4,), 0.25), 1e-3, when="step 0")


def test_adapters_the_loss_does_not_reach_are_found(adapted, make_examples):
    one = Learner("w", adapted(), pack_rows, Parallel())
    cut = one.loss.model.model.layers[1]
    original = cut.forward
    cut.forward = lambda hidden, *args, **kwargs: original(hidden, *args, **kwargs).detach().requires_grad_()
    with pytest.raises(UserError, match="layer 0 of w should train and has no gradient"):
        one.step(make_examples(4), torch.full((4,), 0.25), 1e-3, when="step 0")


def test_recomputing_activations_changes_nothing(adapted, make_examples):
    models = adapted(), adapted()
    for model, parallel in zip(models, (Parallel(), Parallel(recompute=True)), strict=True):
        one = Learner("w", model, pack_rows, parallel)
        for _ in range(2):
            one.step(make_examples(6), torch.full((6,), 1 / 6), 1e-2)
    pairs = zip(*(lora.trainable(model).values() for model in models), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)


def test_dropout_drops_while_training_and_not_while_looking(adapted, make_examples):
    examples = make_examples(8)
    found = []
    for dropout, seed in ((0.0, 0), (0.5, 0), (0.5, 0), (0.5, 1)):
        model = adapted(dropout=dropout)
        stir(model)
        rng = stream(seed, "dropout") if dropout else None
        job = FineTuning(
            model,
            examples,
            Recipe(1, 8, 1e-2, 0),
            64,
            stream(0, "o"),
            validation=examples,
            evaluations=1,
            dropout_rng=rng,
        )
        seen = job.step()
        looked = [row["loss"] for row in job.rows if row["split"] == "validation"]
        found.append((seen["loss"], looked[0]))
        assert job.learner.loss.model.model.layers[0].self_attn.training is False
    plain, dropped, again, other = found
    assert plain[0] == pytest.approx(plain[1], rel=1e-5)
    assert dropped == again != other and abs(dropped[0] - dropped[1]) > 1e-3
    assert dropped[1] == plain[1]


# --- two models on one base -----------------------------------------------------------------------------------------


def bilevel(model, make_examples, **changes) -> Bilevel:
    by_source = [make_examples(12, source=i, seed=i) for i in range(3)]
    return Bilevel(model, by_source, make_examples(9, seed=99), ScaleBiO(**SETTINGS | changes), 0, 64)


def test_u_and_w_share_the_base_and_nothing_else(adapted, make_examples):
    run = bilevel(adapted(), make_examples, steps=5, resync_every=3)
    u, w = (dict(learner.loss.named_parameters()) for learner in (run.u, run.w))
    own = lora.trainable(run.u.loss).keys()
    assert all((u[name] is w[name]) == (name not in own) for name in u) and len(u) > len(own) > 0
    assert all(torch.equal(u[name], w[name]) for name in own)
    before = frozen(run.u.loss)
    first = run.step()
    assert np.abs(first.gap).max() < 1e-6 and (run.weights == 1 / 3).all()
    run.step(), run.step()
    assert not any(torch.equal(u[name], w[name]) for name in own if "lora_B" in name)
    assert np.abs(run.step().gap).max() < 1e-6  # resynchronised
    after = dict(run.w.loss.named_parameters())
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_sharing_changes_no_bit(adapted, make_examples, monkeypatch):
    shared = bilevel(adapted(), make_examples)
    monkeypatch.setattr(lora, "twin", copy.deepcopy)
    apart = bilevel(adapted(), make_examples)
    assert shared.u.loss.model.lm_head.weight is shared.w.loss.model.lm_head.weight
    assert apart.u.loss.model.lm_head.weight is not apart.w.loss.model.lm_head.weight
    for run in (shared, apart):
        while run.done < 4:
            run.step()
    assert (shared.weights == apart.weights).all() and shared.weights.std() > 0


def test_the_right_source_gains_and_the_check_agrees(adapted, make_examples):
    wrong = make_examples(24, source=1, seed=2, answer=lambda a, b: 7)
    problem = weighting.Problem(
        sources=["right", "wrong"],
        load_model=adapted,
        load_by_source=lambda: [make_examples(24, seed=1), wrong],
        load_validation=lambda: make_examples(12, seed=3),
        row_length=64,
    )
    changes = {"steps": 24, "weight_learning_rate": 0.1, "per_source": 4, "validation_batch": 6}
    outcome = weighting.learn(problem, ScaleBiO(**SETTINGS | changes, check_steps=24), seed=0)
    assert outcome.weights[0] > 0.7
    # By the whole base, not by adapters; 0 would be the best match, 1 equal weights.
    assert outcome.extra["check"]["ratio"] < 0.5, outcome.extra["check"]


def test_matching_measures_adapters_once_both_have_moved(adapted, make_examples):
    sources = [make_examples(12, seed=1), make_examples(12, source=1, seed=2, answer=lambda a, b: 7)]
    settings = recipe(ScaleBiO(**SETTINGS))
    model = adapted()
    before = frozen(model)
    matcher = Matcher(model, sources, make_examples(12, seed=3), settings, 0, 64)
    # Adam has no moments at first; A has none of its own a step longer, because B is zero.
    seen = [matcher.step(np.array([0.5, 0.5])) for _ in range(3)]
    assert seen[0] is None and seen[1] is None
    products, norm = seen[2]
    assert np.isfinite(products.gram).all() and products.solve()[0] > 0.7 and norm > 0
    assert all(torch.equal(before[name], parameter) for name, parameter in model.named_parameters() if name in before)


# --- what is saved --------------------------------------------------------------------------------------------------


def test_tied_embeddings_stay_tied_and_gpt2_is_saved_as_it_was(tmp_path, tiny):
    torch.manual_seed(0)
    base = GPT2LMHeadModel(GPT2Config(vocab_size=64, n_embd=32, n_layer=3, n_head=4, n_positions=128, bos_token_id=1))
    model = lora.attach(copy.deepcopy(base), LORA, 0)
    stir(model)
    ids = torch.arange(1, 20)[None]
    with torch.no_grad():
        logits = model.eval()(ids).logits
        assert not torch.allclose(logits, base.eval()(ids).logits, atol=1e-2)
    lora.merge(model)
    for one, name in ((base, "base"), (model, "merged")):
        base_models.save(one, tiny[1], tmp_path / name)
    names = []
    for name in ("base", "merged"):
        with safe_open(tmp_path / name / "model.safetensors", "pt") as file:
            names.append({key: file.get_slice(key).get_shape() for key in file.keys()})  # noqa: SIM118
    assert names[0] == names[1]
    assert (tmp_path / "base/config.json").read_text() == (tmp_path / "merged/config.json").read_text()
    loaded, _ = base_models.load(tmp_path / "merged")
    assert loaded.lm_head.weight is loaded.transformer.wte.weight
    with torch.no_grad():
        torch.testing.assert_close(loaded.eval()(ids).logits, logits, atol=1e-5, rtol=0)


def test_removed_adapters_leave_the_base(adapted, tiny):
    model = adapted()
    stir(model)
    lora.remove(model)
    pairs = zip(tiny[0].named_parameters(), model.named_parameters(), strict=True)
    assert all(one[0] == two[0] and torch.equal(one[1], two[1]) and two[1].requires_grad for one, two in pairs)
    lora.remove(model)  # of a model without any, nothing
    assert lora.trainable(model).keys() == dict(model.named_parameters()).keys()


@pytest.fixture(scope="module")
def inputs(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    jobs.make_inputs(tiny, folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("flags", [(), ("--shard",)])
def test_the_command_writes_a_plain_model_whose_loss_is_the_one_reported(inputs, tmp_path, make_examples, flags):
    settings = {"rank": 4, "alpha": 8, "dropout": 0.1}
    jobs.run(jobs.finetune_command(inputs, tmp_path, *flags, lora=settings))
    model, tokenizer = base_models.load(tmp_path / "model")
    base, _ = base_models.load(inputs / "base")
    assert [name for name, _ in model.named_parameters()] == [name for name, _ in base.named_parameters()]
    moved = {n for (n, a), b in zip(base.named_parameters(), model.parameters(), strict=True) if not torch.equal(a, b)}
    assert len(moved) == 4 * 7 and all("_proj" in name for name in moved)
    table = pd.read_parquet(tmp_path / "training.parquet")
    reported = table[table["split"] == "validation"]["loss"].iloc[-1]
    validation = encode_all(records.read(inputs / "validation.parquet"), tokenizer, 64)
    assert mean_losses(model, validation, 64).mean().item() == pytest.approx(reported, abs=1e-5)
    facts = json.loads((tmp_path / "model/provenance.json").read_text())["provenance"]["settings"]
    assert facts["lora"] == settings
