"""Supervised training: it learns, records what it should, and LISA leaves sleeping layers alone."""

import copy

import pytest
import torch

from scalebio import lisa
from scalebio.config import Lisa
from scalebio.errors import UserError
from scalebio.finetuning import Recipe, train
from scalebio.losses import mean_losses
from scalebio.streams import stream

RECIPE = Recipe(steps=30, batch=8, learning_rate=5e-3, ramp=2)


@pytest.fixture
def run(tiny, make_examples):
    """run(...) → (model, rows) of a short training of a copy of the tiny model."""

    def call(recipe=RECIPE, **options):
        model = copy.deepcopy(tiny[0])
        order = stream(options.pop("seed", 0), "order")
        return model, train(model, make_examples(40, seed=1), recipe, 64, order, **options)

    return call


def losses(rows, split):
    return [row["loss"] for row in rows if row["split"] == split]


def test_the_loss_falls(run, tiny, make_examples):
    model, rows = run()
    assert losses(rows, "training")[-1] < 0.6 * losses(rows, "training")[0]
    before, after = (mean_losses(m, make_examples(16, seed=9), 64).mean() for m in (tiny[0], model))
    assert after < before


def test_rows_of_both_splits_are_recorded(run, make_examples):
    seen = []
    validation = make_examples(6, seed=5)
    model, rows = run(
        validation=validation, evaluations=3, on_step=lambda step: seen.append((step["step"], step["loss"]))
    )
    training = [row for row in rows if row["split"] == "training"]
    held_out = [row for row in rows if row["split"] == "validation"]
    assert [row["step"] for row in training] == list(range(30))
    assert [row["examples"] for row in training] == [8 * (step + 1) for step in range(30)]
    assert [row["step"] for row in held_out] == [0, 10, 20, 30]
    assert [row["examples"] for row in held_out] == [0, 80, 160, 240]
    assert held_out[-1]["loss"] == pytest.approx(mean_losses(model, validation, 64).mean().item())
    assert seen == [(row["step"], row["loss"]) for row in training]


def test_looking_at_validation_rows_changes_nothing(run, make_examples):
    plain, watched = run()[0], run(validation=make_examples(6, seed=5), evaluations=5)[0]
    for one, other in zip(plain.parameters(), watched.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_same_seed_gives_the_same_bits_and_another_does_not(run):
    first, again, other = (run(Recipe(3, 8, 5e-3, 0), seed=seed)[1] for seed in (0, 0, 1))
    assert first == again != other


def test_the_first_loss_is_the_models_own(run, tiny, make_examples):
    rows = run(Recipe(1, 40, 5e-3, 0))[1]  # one batch of every example
    expected = mean_losses(tiny[0], make_examples(40, seed=1), 64).mean().item()
    assert losses(rows, "training") == [pytest.approx(expected, rel=1e-5)]


def test_lisa_changes_the_drawn_layers_and_no_other(run, tiny):
    layers = Lisa(layers=1, interval=100)
    model, _ = run(Recipe(3, 8, 5e-3, 0), layers=layers, layer_rng=stream(0, "layers"))
    drawn = lisa.LayerDraws(4, 1, 100, stream(0, "layers")).at(0)
    for index, (before, after) in enumerate(zip(lisa.find_layers(tiny[0]), lisa.find_layers(model), strict=True)):
        same = all(torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True))
        assert same == (index not in drawn)
    assert not torch.equal(tiny[0].get_input_embeddings().weight, model.get_input_embeddings().weight)


def test_a_diverging_run_says_which_setting_to_lower(run):
    with pytest.raises(UserError, match=r"step \d+: a .* not finite in every row\. .*lower `learning_rate`"):
        run(Recipe(steps=30, batch=8, learning_rate=1e20, ramp=0))
