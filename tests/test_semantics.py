"""Steps of the loop under the releases' semantics against their own way of computing, written out plainly.

Dropout is off in both, because its masks cannot be made equal; that it is on is tested by itself.
"""

import copy

import numpy as np
import pytest
import torch

from scalebio.bilevel import Bilevel
from scalebio.config import Lisa
from scalebio.config_methods import ScaleBiO
from scalebio.semantics import PRESETS

ALPHA, RATE, STEPS = 10.0, 1e-3, 40


def loop(tiny, make_examples, semantics: str, layers=None, **differences) -> Bilevel:
    by_source = [make_examples(7 + 4 * i, source=i, seed=i) for i in range(3)]
    settings = ScaleBiO(
        kind="scalebio",
        semantics=semantics,
        differences=differences,
        steps=STEPS,
        alpha=ALPHA,
        learning_rate=RATE,
        weight_learning_rate=0.01,
        per_source=2,
        validation_batch=4,
    )
    return Bilevel(copy.deepcopy(tiny[0]), by_source, make_examples(9, seed=99), settings, 0, 64, layers)


def sums_of_cross_entropy(model, examples: list) -> tuple[torch.Tensor, torch.Tensor, int]:
    """As the releases: one padded micro-batch, full logits; each row's summed loss, its response tokens, the length."""
    length = -(-max(len(example.ids) for example in examples) // 8) * 8
    ids, labels = torch.zeros(len(examples), length, dtype=torch.long), torch.full((len(examples), length), -100)
    mask = torch.zeros(len(examples), length)
    for i, example in enumerate(examples):
        real = len(example.ids)
        ids[i, :real], mask[i, :real] = torch.from_numpy(example.ids), 1
        labels[i, :real] = torch.from_numpy(np.where(example.response, example.ids, -100))
    logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1]
    losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels[:, 1:], reduction="none")
    return losses.sum(1), (labels[:, 1:] != -100).sum(1), length


def released_L2(model, examples, p, semantics) -> torch.Tensor:
    """v1: each micro-batch's source means over padded positions, averaged. ACL: source means over the global batch."""
    size = PRESETS[semantics].micro_batch
    groups = [examples[i : i + size] for i in range(0, len(examples), size)]
    if semantics == "official_v1":
        total = 0
        for group in groups:
            summed, _, length = sums_of_cross_entropy(model, group)
            sources = torch.tensor([example.source for example in group])
            belongs = torch.nn.functional.one_hot(sources, 3).to(summed)
            means = belongs.T @ (summed / (length - 1)) / belongs.sum(0).clamp(min=1)
            total = total + p @ means / len(groups)
        return total
    counts = torch.bincount(torch.tensor([example.source for example in examples]), minlength=3)
    total = 0
    for group in groups:
        summed, tokens, _ = sums_of_cross_entropy(model, group)
        for row, example in enumerate(group):
            total = total + p[example.source] * summed[row] / tokens[row] / counts[example.source]
    return total


def released_L1(model, examples, semantics) -> torch.Tensor:
    size = PRESETS[semantics].micro_batch
    groups = [examples[i : i + size] for i in range(0, len(examples), size)]
    parts = [sums_of_cross_entropy(model, group)[:2] for group in groups]
    if semantics == "official_v1":
        return sum(summed.sum() / tokens.sum() for summed, tokens in parts) / len(parts)
    return sum(summed.sum() for summed, _ in parts) / sum(tokens.sum() for _, tokens in parts)


@pytest.mark.parametrize("semantics", ["official_v1", "official_acl"])
def test_steps_as_the_release_computes_them(tiny, make_examples, semantics):
    # In float64, because Adam's first steps are signs of gradients, some of which float32 rounds to the other side.
    run, twin = (loop((copy.deepcopy(tiny[0]).double(),), make_examples, semantics, dropout=False) for _ in range(2))
    u, w = copy.deepcopy(tiny[0]).double().eval(), copy.deepcopy(tiny[0]).double().eval()
    for model in (u, w):
        model.set_attn_implementation("eager")
    logits = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    minimisers = [torch.optim.AdamW(parts, lr=1.0, weight_decay=5e-4) for parts in (u.parameters(), w.parameters())]
    of_weights = torch.optim.AdamW([logits], lr=1.0)  # with AdamW's default decay of 0.01, as released
    first = 0 if semantics == "official_v1" else 1  # whose warm-up begins at zero
    for k in range(5):
        examples = twin.draws.next()
        held_out = [twin.validation[i] for i in twin.validation_draws.take(4)]
        if semantics == "official_v1":
            factor = 0.5 * (1 + np.cos(np.pi * k / STEPS))
        else:  # 3 % of 40 steps: one step of warm-up
            factor = 0.0 if k == 0 else 0.5 * (1 + np.cos(np.pi * (k - 1) / (STEPS - 1)))
        for optimizer in (*minimisers, of_weights):
            optimizer.zero_grad()
        p = torch.softmax(logits, 0)
        objective_u, objective_w = (released_L2(model, examples, p, semantics) for model in (u, w))
        # The release maximises −α L2(u); λ collects both terms' gradients.
        (-ALPHA * objective_u).backward(retain_graph=True)
        for parameter in u.parameters():
            parameter.grad.neg_()
        (ALPHA * objective_w + released_L1(w, held_out, semantics)).backward()
        for optimizer, model in zip(minimisers, (u, w), strict=True):
            if semantics == "official_acl":
                torch.nn.utils.clip_grad_norm_(model.parameters(), ALPHA)
            optimizer.param_groups[0]["lr"] = RATE * factor
            optimizer.step()
        of_weights.param_groups[0]["lr"] = 0.01 * factor
        seen = run.step()
        assert seen.L2_u == pytest.approx(objective_u.item(), abs=1e-6)
        assert seen.L2_w == pytest.approx(objective_w.item(), abs=1e-6)
        if k > first:  # while u equals w, λ moves by the sign of rounding errors: nothing to compare
            of_weights.step()
        else:
            logits.data.copy_(run.logits)
            of_weights.state[logits] = {
                key: value.clone() for key, value in run.weight_optimizer.state[run.logits].items()
            }
    np.testing.assert_allclose(run.weights, torch.softmax(logits.detach(), 0).numpy(), atol=1e-6)


def test_a_release_draws_by_size_and_ours_does_not(tiny, make_examples):
    counts = {}
    for semantics in ("scalebio", "official_v1", "official_acl"):
        run = loop(tiny, make_examples, semantics)
        counts[semantics] = np.bincount([e.source for _ in range(60) for e in run.draws.next()], minlength=3)
    assert counts["scalebio"].tolist() == [120, 120, 120]
    # 7, 11 and 15 rows of 33.
    for semantics in ("official_v1", "official_acl"):
        assert counts[semantics] / 360 == pytest.approx(np.array([7, 11, 15]) / 33, abs=0.07)
    assert counts["official_v1"] / 360 == pytest.approx(np.array([7, 11, 15]) / 33, abs=0.01)  # without replacement


def test_releases_draw_different_layers_and_keep_states(tiny, make_examples):
    run = loop(tiny, make_examples, "official_acl", Lisa(layers=1, interval=1))
    pairs = [run.step().layers for _ in range(8)]
    assert any(pair["u"] != pair["w"] for pair in pairs)
    ours = loop(tiny, make_examples, "scalebio", Lisa(layers=1, interval=1))
    assert all(pair["u"] == pair["w"] for pair in (ours.step().layers for _ in range(8)))
    assert len(run.u.optimizer.state) > len(ours.u.optimizer.state)


def test_dropout_differs_between_u_and_w_and_repeats_with_the_seed(tiny, make_examples):
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(vocab_size=len(tiny[1]), n_embd=32, n_layer=2, n_head=2, n_positions=128, bos_token_id=1)
    model = GPT2LMHeadModel(config)
    gaps = {}
    for name, differences in {"off": {}, "on": {"dropout": True}, "again": {"dropout": True}}.items():
        run = loop((model, tiny[1]), make_examples, "scalebio", **differences)
        gaps[name] = run.step().gap
    assert np.abs(gaps["off"]).max() < 1e-5 < 1e-3 < np.abs(gaps["on"]).max()
    assert (gaps["on"] == gaps["again"]).all()


def test_every_point_of_difference_changes_what_is_computed(tiny, make_examples):
    """No switch is dead: turned to what a release does, each one changes λ or a model within a few steps."""
    layers = Lisa(layers=1, interval=1)
    released = {**PRESETS["official_acl"].model_dump(), "example_loss": "padded", "source_mean": "micro_batch"}
    released |= {"micro_batch": 3, "clip": True}

    def bits(**differences):
        # A gradient far above the bound, so that clipping bites; draws by size, so that micro-batches mix sources.
        run = loop(tiny, make_examples, "scalebio", layers, **differences)
        for _ in range(4):
            run.step()
        return torch.cat([run.logits] + [p.detach().double().flatten() for p in (*run.u.parameters, *run.w.parameters)])

    plain = bits()
    for name in PRESETS["scalebio"].model_dump():
        if name in (
            "micro_batch",
            "dropout",
            "clip",
        ):  # where another switch uses it; this Llama has none; needs α small
            continue
        assert not torch.equal(plain, bits(**{name: released[name], "micro_batch": 3})), name
