"""LESS and gradient alignment against plain float64 arithmetic, the projection against theory, both on a known answer."""

import copy
import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.func import functional_call

from scalebio import lora, schedules, weighting
from scalebio.batching import Cycle, StratifiedDraws
from scalebio.config import Lisa, Lora
from scalebio.config_methods import GradientAlignment, Less
from scalebio.errors import UserError
from scalebio.finetuning import Recipe, train
from scalebio.random_projection import BLOCK, RandomProjection
from scalebio.streams import stream
from scalebio.weighting.gradient_alignment import Aligner
from scalebio.weighting.less import influence

LESS = {"kind": "less", "batch": 4, "learning_rate": 1e-2, "rank": 2, "alpha": 4.0}
ALIGNMENT = {"kind": "gradient_alignment", "learning_rate": 1e-3, "per_source": 3, "validation_batch": 5, "ramp": 2}


@pytest.fixture
def make_problem(tiny, make_examples):
    """make_problem(rows, wide, **options) → a problem whose source `right` answers as the validation set, `wrong` with 7."""

    def make(rows=12, wide=False, **options):
        wrong = make_examples(rows, source=1, seed=2, answer=lambda a, b: 7)
        given = {
            "sources": ["right", "wrong"],
            "load_model": lambda: copy.deepcopy(tiny[0]).double() if wide else copy.deepcopy(tiny[0]),
            "load_by_source": lambda: [make_examples(rows, seed=1), wrong],
            "load_validation": lambda: make_examples(8, seed=3),
            "row_length": 64,
        }
        return weighting.Problem(**given | options)

    return make


@pytest.fixture(scope="module")
def warm(tiny, make_examples):
    """The tiny model after 60 steps on both sources alike."""
    model = copy.deepcopy(tiny[0])
    rows = make_examples(24, seed=1) + make_examples(24, source=1, seed=2, answer=lambda a, b: 7)
    train(model, rows, Recipe(steps=60, batch=12, learning_rate=3e-3, ramp=5), 64, np.random.default_rng(0))
    return model


def plain_loss(logits_of, examples):
    """Mean over examples of each one's mean cross-entropy at response tokens, one example at a time."""
    total = 0
    for example in examples:
        ids = torch.as_tensor(example.ids)[None]
        tokens = torch.nn.functional.cross_entropy(logits_of(ids)[0, :-1], ids[0, 1:], reduction="none")
        total = total + tokens[torch.as_tensor(example.response[1:])].mean() / len(examples)
    return total


class PlainAdam:
    """Adam as published (Kingma and Ba 2015, Algorithm 1), on flat vectors."""

    def __init__(self, size):
        self.m, self.v, self.t = torch.zeros(size).double(), torch.zeros(size).double(), 0

    def direction(self, gradient):
        """m̂ / (√v̂ + ε) after one more step, and what moments that step would leave."""
        m, v, t = 0.9 * self.m + 0.1 * gradient, 0.999 * self.v + 0.001 * gradient**2, self.t + 1
        return m / (1 - 0.9**t) / ((v / (1 - 0.999**t)).sqrt() + 1e-8), (m, v, t)


# --- LESS ---------------------------------------------------------------------------------------------------------


def plain_less(problem, settings, seed):
    """Scores [rows] with W + s B A put together by hand, flat Adam, and no projection."""
    model, rows = problem.load_model(), [row for rows in problem.by_source for row in rows]
    started = copy.deepcopy(model)
    lora.attach(started, Lora(rank=settings.rank, alpha=settings.alpha, target="attention"), seed)
    names, initial = [name for name, _ in lora.adapters(started)], lora.trainable(started).values()
    shapes = [part.shape for part in initial]
    theta = torch.cat([part.detach().flatten() for part in initial])
    weights = dict(model.named_parameters())

    def logits_of(flat):
        parts = [part.view(shape) for part, shape in zip(flat.split([s.numel() for s in shapes]), shapes, strict=True)]
        adapters = dict(zip(names, zip(parts[::2], parts[1::2], strict=True), strict=True))
        changed = {
            f"{name}.weight": weights[f"{name}.weight"] + settings.alpha / settings.rank * b @ a
            for name, (a, b) in adapters.items()
        }
        return lambda ids: functional_call(model, changed, (ids,)).logits

    def gradient(flat, examples):
        flat = flat.clone().requires_grad_(True)
        return torch.autograd.grad(plain_loss(logits_of(flat), examples), flat)[0]

    chosen = stream(seed, "less warm-up rows").permutation(len(rows))[: round(settings.share * len(rows))]
    cycle, adam = Cycle(len(chosen), stream(seed, "less warm-up batches")), PlainAdam(len(theta))
    per_epoch, scores, total = len(chosen) // settings.batch, 0, 0
    for epoch in range(settings.epochs):
        mean_rate = 0
        for k in range(epoch * per_epoch, (epoch + 1) * per_epoch):
            rate = settings.learning_rate * schedules.ramp_cosine(k, settings.epochs * per_epoch, 0)
            step, (adam.m, adam.v, adam.t) = adam.direction(
                gradient(theta, [rows[chosen[i]] for i in cycle.take(settings.batch)])
            )
            theta, mean_rate = theta - rate * step, mean_rate + rate / per_epoch
        target = gradient(theta, problem.validation)
        directions = [adam.direction(gradient(theta, [row]))[0] for row in rows]
        cosines = [float(z @ target / z.norm() / target.norm()) for z in directions]
        scores, total = scores + mean_rate * np.array(cosines), total + mean_rate
    return scores / total


def test_less_scores_are_those_of_plain_float64_arithmetic(make_problem):
    settings = Less(**LESS, share=0.75, epochs=2, ramp_fraction=0)
    problem = make_problem(rows=6, wide=True)
    found, spent = influence(problem, settings, seed=3)
    np.testing.assert_allclose(found, plain_less(make_problem(rows=6, wide=True), settings, 3), atol=1e-9)
    # Two epochs of two batches of four, and each time all rows and the validation set.
    rows = [row for rows in problem.by_source for row in rows]
    scored = 2 * sum(len(row.ids) for row in [*rows, *problem.validation])
    assert scored < spent.forward_tokens == spent.backward_tokens < scored + 2 * sum(len(row.ids) for row in rows)


def test_projected_scores_come_near_whole_ones(make_problem):
    """cos of projected vectors is off by about 1/√dimensions a row and epoch; here both epochs share the signs."""
    settings = Less(**LESS, share=0.75, epochs=2)
    whole, _ = influence(make_problem(rows=6), settings, seed=0)
    dimensions = 2048
    found, _ = influence(make_problem(rows=6), settings.model_copy(update={"projection": dimensions}), seed=0)
    error = np.sqrt(np.mean((found - whole) ** 2))
    assert 0 < error < 2 / math.sqrt(dimensions)


@pytest.mark.parametrize("select", ["source", "rows"])
def test_less_finds_the_right_source(make_problem, select):
    reports = []
    problem = make_problem(rows=20, progress=lambda done, total, text, tokens=0: reports.append((done, total, tokens)))
    settings = Less(**LESS, select=select, share=0.5, epochs=2, keep=0.25)
    outcome = weighting.learn(problem, settings, seed=0)
    assert outcome.weights.sum() == pytest.approx(1) and outcome.weights[0] > 0.8
    selected = outcome.extra["selected"]
    assert sum(selected.values()) == 10 and selected["right"] == 10 * outcome.weights[0]
    assert outcome.extra["mean_scores"]["right"] > outcome.extra["mean_scores"]["wrong"]
    assert reports[-1][:2] == (90, 90)  # five batches of four and 40 rows, twice
    assert sum(tokens for _, _, tokens in reports) == outcome.spent.forward_tokens
    if select == "source":
        assert outcome.row_scores is None
    else:
        assert [len(scores) for scores in outcome.row_scores] == [20, 20]
        assert [scores.mean() for scores in outcome.row_scores] == pytest.approx(
            list(outcome.extra["mean_scores"].values())
        )


def test_less_leaves_the_base_as_it_was(make_problem, make_examples):
    problem = make_problem()
    before, names = copy.deepcopy(problem.model), [type(module) for module in problem.model.modules()]
    settings = Less(**LESS, share=1, epochs=1)
    influence(problem, settings, seed=0)

    def unchanged():
        assert [type(module) for module in problem.model.modules()] == names
        for old, new in zip(before.parameters(), problem.model.parameters(), strict=True):
            assert torch.equal(old, new) and new.requires_grad
        assert not hasattr(problem.model, "peft_config")

    unchanged()
    mute = dataclasses.replace(problem.validation[0], response=np.zeros_like(problem.validation[0].response), name="r9")
    problem.validation[0] = mute
    with pytest.raises(UserError, match="not finite; rows at fault are among: r9"):
        influence(problem, settings, seed=0)
    unchanged()


# --- what LESS is made of -----------------------------------------------------------------------------------------


def test_the_projection_is_one_matrix_of_signs():
    length, dimensions = BLOCK + 10, 24
    project = RandomProjection(dimensions, 0, "test")
    signs = project(torch.eye(length, dtype=torch.float64)).T * math.sqrt(dimensions)
    assert torch.allclose(signs.abs(), torch.ones_like(signs))
    assert abs(signs.mean()) < 4 / math.sqrt(signs.numel())
    # No block repeats another, and rows are not alike.
    assert abs((signs[:, :10] * signs[:, BLOCK:]).mean()) < 4 / math.sqrt(10 * dimensions)
    x = torch.randn(3, length, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(project(x), x @ signs.T / math.sqrt(dimensions))
    assert not torch.equal(RandomProjection(dimensions, 1, "test")(x), project(x))


def test_inner_products_survive_the_projection_as_johnson_and_lindenstrauss_say():
    """For signs, E = ⟨x, y⟩ and variance = (|x|²|y|² + ⟨x, y⟩² − 2 Σ x_i² y_i²) / dimensions."""
    rng = np.random.default_rng(0)
    x, y = torch.as_tensor(rng.normal(size=(2, 300)))
    x, y = x / x.norm(), (0.6 * x / x.norm() + 0.8 * y / y.norm())
    dimensions, trials = 64, 400
    found = []
    for seed in range(trials):
        first, second = RandomProjection(dimensions, seed, "trial")(torch.stack([x, y]))
        found.append(float(first @ second))
    inner = float(x @ y)
    variance = float((x @ x) * (y @ y) + inner**2 - 2 * (x**2) @ (y**2)) / dimensions
    assert np.mean(found) == pytest.approx(inner, abs=4 * math.sqrt(variance / trials))
    # A sample variance of 400 is off by 7 % as a rule.
    assert np.var(found) == pytest.approx(variance, rel=0.28)


# --- gradient alignment -------------------------------------------------------------------------------------------


def test_alignment_makes_the_updates_of_plain_float64_arithmetic(make_problem):
    settings, problem = GradientAlignment(**ALIGNMENT, steps=4, mu=2e-4), make_problem(wide=True)
    outcome = weighting.learn(problem, settings, seed=5)
    seen = {(row["step"], row["source"], row["quantity"]): row["value"] for row in outcome.trajectory}

    model = make_problem(wide=True).load_model()
    parameters = list(model.parameters())
    adam, p, passed = PlainAdam(sum(part.numel() for part in parameters)), np.array([0.5, 0.5]), []
    draws = StratifiedDraws(problem.by_source, 3, stream(5, "alignment training batches"))
    held_out = Cycle(8, stream(5, "alignment validation batches"))

    def gradient(examples):
        parts = torch.autograd.grad(plain_loss(lambda ids: model(ids).logits, examples), parameters)
        return torch.cat([part.flatten() for part in parts])

    for k in range(4):
        rate, examples = 1e-3 * schedules.ramp_cosine(k, 4, 2), draws.next()
        target = gradient([problem.validation[j] for j in held_out.take(5)])
        of_source = [gradient(examples[:3]), gradient(examples[3:])]
        aligned = np.array([float(one @ target) for one in of_source])
        p = p * np.exp(rate * aligned / 2e-4)
        p /= p.sum()
        passed.append(p)
        step, (adam.m, adam.v, adam.t) = adam.direction(p[0] * of_source[0] + p[1] * of_source[1])
        at = 0
        for part in parameters:
            part.data -= rate * step[at : at + part.numel()].view_as(part)
            at += part.numel()
        assert [seen[k, source, "alignment"] for source in problem.sources] == pytest.approx(aligned, rel=1e-8)
        assert [seen[k + 1, source, "weight"] for source in problem.sources] == pytest.approx(p, abs=1e-9)
    assert passed[-1].max() > 0.6  # the updates were no trifles
    np.testing.assert_allclose(outcome.weights, np.mean(passed, axis=0), atol=1e-9)
    assert list(outcome.extra["last"].values()) == pytest.approx(passed[-1], abs=1e-9)


def test_alignment_finds_the_right_source_from_a_base_that_knows_something(make_problem, warm):
    reports = []
    problem = make_problem(
        rows=24,
        load_model=lambda: copy.deepcopy(warm),
        progress=lambda done, total, text, tokens=0: reports.append((done, tokens)),
    )
    outcome = weighting.learn(problem, GradientAlignment(**ALIGNMENT, steps=20, mu=3e-3), seed=0)
    assert outcome.weights.sum() == pytest.approx(1) and outcome.weights[0] > 0.7
    assert outcome.extra["last"]["right"] > outcome.weights[0]
    weights = [row["value"] for row in outcome.trajectory if row["quantity"] == "weight" and row["source"] == "right"]
    assert len(weights) == 21 and weights[0] == pytest.approx(0.5)
    assert outcome.extra["final"]["right"] == pytest.approx(np.mean(weights[1:]))
    assert [done for done, _ in reports] == list(range(1, 21))
    assert sum(tokens for _, tokens in reports) == outcome.spent.forward_tokens == outcome.spent.backward_tokens


def test_alignment_that_is_far_too_strong_overflows_nothing(make_problem):
    outcome = weighting.learn(make_problem(), GradientAlignment(**ALIGNMENT, steps=6, mu=1e-9), seed=0)
    assert outcome.weights.sum() == pytest.approx(1) and np.isfinite(outcome.weights).all()
    assert sorted(outcome.extra["last"].values()) == pytest.approx([0, 1])


def test_under_lisa_alignment_is_that_of_the_layers_that_train(make_problem):
    problem = make_problem(wide=True)
    settings = GradientAlignment(**ALIGNMENT, steps=4)
    layers = Lisa(layers=1, interval=2, embeddings=False)
    aligner = Aligner(problem.model, problem.by_source, problem.validation, settings, 0, 64, layers)
    before = copy.deepcopy(problem.model)
    draws = StratifiedDraws(problem.by_source, 3, stream(0, "alignment training batches"))
    held_out = Cycle(8, stream(0, "alignment validation batches")).take(5)
    found = aligner.step()
    moved = [
        i
        for i, (old, new) in enumerate(zip(before.model.layers, problem.model.model.layers, strict=True))
        if any(not torch.equal(a, b) for a, b in zip(old.parameters(), new.parameters(), strict=True))
    ]
    assert len(moved) == 1 and torch.equal(before.model.embed_tokens.weight, problem.model.model.embed_tokens.weight)
    active = list(before.model.layers[moved[0]].parameters())

    def gradient(examples):
        return torch.autograd.grad(plain_loss(lambda ids: before(ids).logits, examples), active)

    examples, target = draws.next(), gradient([problem.validation[j] for j in held_out])
    for i in range(2):
        expected = sum((a * b).sum().item() for a, b in zip(gradient(examples[3 * i : 3 * i + 3]), target, strict=True))
        assert found[i] == pytest.approx(expected, rel=1e-8)


# --- both ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [Less(**LESS), GradientAlignment(**ALIGNMENT, steps=4)], ids=lambda one: one.kind)
@pytest.mark.parametrize("parallel", [{"world": 2, "shard": False}, {"world": 1, "shard": True}])
def test_several_processes_are_refused(make_problem, settings, parallel):
    problem = make_problem(load_parallel=lambda: SimpleNamespace(**parallel))
    with pytest.raises(UserError, match=f"`{settings.kind}` runs on one process"):
        weighting.learn(problem, settings, seed=0)


@pytest.mark.parametrize(
    "settings",
    [Less(**LESS, share=0.7, epochs=1, projection=64), GradientAlignment(**ALIGNMENT, steps=3, mu=1e-3)],
    ids=lambda one: one.kind,
)
def test_the_same_seed_gives_the_same_bits_and_another_does_not(make_problem, settings):
    def seen(seed):
        return str(weighting.learn(make_problem(rows=6), settings, seed).extra)

    assert seen(0) == seen(0) != seen(1)
