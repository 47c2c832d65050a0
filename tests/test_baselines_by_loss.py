"""Methods that need no gradients of weights: by size, by the planted truth, RHO-LOSS and DoReMi, on cases with known answers."""

import copy
import math

import numpy as np
import pytest
import torch
from test_batching import padded_reference

from scalebio import checkpoints, losses, schedules, weighting
from scalebio.checkpoints import Checkpoints
from scalebio.config import Lisa
from scalebio.config_methods import DoReMi, Given, Oracle, RhoLoss, SizeProportional
from scalebio.errors import UserError
from scalebio.learner import Learner
from scalebio.parallel import Parallel
from scalebio.weighting import doremi, rho_loss

SOURCES = ["right", "wrong"]
WORDS = "Ungefähr so."
RHO = {"kind": "rho_loss", "steps": 12, "learning_rate": 1e-3, "per_source": 6, "keep": 0.25, "ramp": 1}
RHO |= {"reference_steps": 20, "reference_learning_rate": 3e-3, "reference_batch": 8}
DRO = {"kind": "doremi", "steps": 8, "learning_rate": 2e-3, "per_source": 4, "ramp": 1}
METHODS = {
    "rho_loss": (rho_loss.Run, RhoLoss(**RHO | {"reference_steps": 4, "steps": 4})),
    "doremi": (doremi.Run, DoReMi(**DRO | {"steps": 4})),
}


@pytest.fixture
def make_problem(tiny, make_examples):
    """make_problem() → the tiny model, right sums, a source with one `answer` to all, and right sums to validate on."""

    def make(answer="7", **options):
        right, wrong = make_examples(12, seed=1), make_examples(12, source=1, seed=2, answer=lambda a, b: answer)
        return weighting.Problem(
            sources=SOURCES,
            load_model=lambda: copy.deepcopy(tiny[0]),
            load_by_source=options.pop("load_by_source", lambda: [right, wrong]),
            load_validation=lambda: make_examples(8, seed=3),
            row_length=64,
            **options,
        )

    return make


def refuse():
    raise AssertionError("loaded, though the method has no use for it")


def alone(model, examples) -> np.ndarray:
    """Losses by the other way of computing them, one example at a time."""
    with torch.no_grad():
        return padded_reference(model, examples).double().numpy()


def test_shares_by_size_are_those_of_the_whole_pool():
    problem = weighting.Problem(["a", "b", "c"], refuse, refuse, refuse, row_length=64, sizes=[300, 100, 600])
    assert weighting.learn(problem, SizeProportional(kind="size_proportional"), 0).weights.tolist() == [0.3, 0.1, 0.6]


def test_the_oracle_has_the_planted_shares_and_none_for_what_they_leave_out():
    problem = weighting.Problem(["a", "b", "c"], refuse, refuse, refuse, 64, expected={"c": 0.75, "a": 0.25})
    outcome = weighting.learn(problem, Oracle(kind="oracle"), 0)
    assert outcome.weights.tolist() == [0.25, 0.0, 0.75]
    assert outcome.spent == weighting.Spent() and outcome.row_scores is None


def test_given_shares_are_taken_as_they_are():
    problem = weighting.Problem(["a", "b", "c"], refuse, refuse, refuse, row_length=64)
    settings = Given(kind="given", weights={"c": 0.75, "a": 0.25})
    assert weighting.learn(problem, settings, 0).weights.tolist() == [0.25, 0.0, 0.75]


# --- RHO-LOSS ---


def test_the_first_scores_are_the_losses_of_two_models_that_plain_torch_makes(tiny, make_problem):
    """Base against a reference trained by hand on the whole validation set; the large batch is the whole pool."""
    settings = RhoLoss(**RHO | {"steps": 1, "per_source": 12, "reference_steps": 3, "select": "rows"})
    problem = make_problem()
    rows, model = [row for rows in problem.by_source for row in rows], copy.deepcopy(tiny[0]).eval()
    base = alone(model, rows)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.0)
    for k in range(3):
        optimizer.param_groups[0]["lr"] = 3e-3 * schedules.ramp_cosine(k, 3, 1)
        optimizer.zero_grad()
        padded_reference(model, problem.validation).mean().backward()
        optimizer.step()
    expected = base - alone(model, rows)
    assert np.abs(expected).max() > 0.05

    outcome = weighting.learn(problem, settings, 0)
    assert np.concatenate(outcome.row_scores) == pytest.approx(expected, abs=2e-4)
    # A quarter of 24 rows is trained on, the best ones.
    best = np.argsort(-expected)[:6]
    assert outcome.weights.tolist() == [np.mean(best < 12), np.mean(best >= 12)]


def test_the_current_model_learns_from_the_selected_rows_only(tiny, make_problem):
    problem = make_problem()
    run = rho_loss.Run(problem, RhoLoss(**RHO | {"per_source": 12, "steps": 2}), 0)
    while run.current.done < 1:
        run.step()
    model, rows = copy.deepcopy(tiny[0]).eval(), run.rows
    best = np.argsort(-(alone(model, rows) - run.irreducible))[:6]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3 * schedules.ramp_cosine(0, 2, 1), weight_decay=0.0)
    padded_reference(model, [rows[i] for i in best]).mean().backward()
    optimizer.step()
    assert run.current.learner.evaluate(rows).numpy() == pytest.approx(alone(model, rows), abs=2e-4)


def test_rho_loss_finds_the_source_that_the_validation_set_explains(make_problem):
    reports = []
    problem = make_problem(WORDS, progress=lambda done, total, text, tokens=0: reports.append((done, total, text)))
    outcome = weighting.learn(problem, RhoLoss(**RHO), 0)
    assert outcome.weights[0] > 0.9 and outcome.weights.sum() == pytest.approx(1)
    assert outcome.row_scores is None  # rows are drawn at random unless they are asked for
    weights = {(row["step"], row["source"]): row["value"] for row in outcome.trajectory if row["quantity"] == "weight"}
    assert weights.keys() == {(step, source) for step in range(13) for source in SOURCES}
    assert weights[0, "right"] == 0.5 and weights[12, "right"] == outcome.weights[0]
    assert [report[:2] for report in reports] == [(done, 32) for done in range(1, 33)]
    assert "reference model" in reports[0][2] and "reducible loss" in reports[-1][2]


def test_spoiled_rows_within_a_source_score_below_the_others(make_problem, make_examples):
    mixed = make_examples(10, seed=1) + make_examples(10, seed=4, answer=lambda a, b: WORDS)
    problem = make_problem(load_by_source=lambda: [mixed, make_examples(20, source=1, seed=5)])
    outcome = weighting.learn(problem, RhoLoss(**RHO | {"select": "rows"}), 0)
    first, second = outcome.row_scores
    assert first.shape == second.shape == (20,) and np.isfinite(first).all()
    assert first[:10].min() > first[10:].max()


def test_spoiled_rows_in_the_style_of_the_validation_set_are_not_found(make_problem):
    """What the module says of where it fails: the base learns that answers are digits, and so 7 becomes cheap too."""
    right, wrong = weighting.learn(make_problem(), RhoLoss(**RHO | {"select": "rows"}), 0).row_scores
    assert wrong.mean() > right.mean() > 0


def test_a_row_that_was_in_no_large_batch_has_no_score(make_problem):
    outcome = weighting.learn(make_problem(), RhoLoss(**RHO | {"select": "rows", "steps": 1}), 0)
    assert [int(np.isfinite(scores).sum()) for scores in outcome.row_scores] == [6, 6]


def test_a_loss_that_is_not_finite_is_refused_and_not_merely_passed_over(make_problem):
    run = rho_loss.Run(make_problem(), RhoLoss(**RHO | {"reference_steps": 1}), 0)
    run.step()
    run.irreducible[3] = math.nan
    with pytest.raises(UserError, match="the loss of .* is not finite under the current or the reference model"):
        for _ in range(3):
            run.step()


# --- DoReMi ---


def test_two_updates_by_hand():
    """η = 1, c = 0.1: (1/2, 1/2) with excess (ln 2, 0) → 0.9 (2/3, 1/3) + 0.05, then with (0, ln 4) → weights 13 : 28."""
    first = doremi.update(np.array([0.5, 0.5]), np.array([math.log(2), 0.0]), 1.0, 0.1)
    assert first == pytest.approx([0.65, 0.35], abs=1e-15)
    second = doremi.update(first, np.array([0.0, math.log(4)]), 1.0, 0.1)
    assert second == pytest.approx([0.9 * 13 / 41 + 0.05, 0.9 * 28 / 41 + 0.05], abs=1e-15)
    # The step size multiplies the excess, and neither a constant in it nor a huge one does harm.
    half = doremi.update(np.array([0.5, 0.5]), np.array([math.log(4), 0.0]), 0.5, 0.1)
    assert half == pytest.approx(first, abs=1e-15)
    assert doremi.update(first, np.array([1e4, 1e4]), 1.0, 0.0) == pytest.approx(first, abs=1e-12)


def test_excess_is_clipped_token_by_token(tiny, make_problem):
    """Against both models run alone on each row: clipped before the mean over tokens, then the mean over examples."""
    problem = make_problem()
    run = doremi.Run(problem, DoReMi(**DRO | {"per_source": 12, "step_size": 0.5}), 0)
    for _ in range(8):
        run.step()
    with torch.no_grad():  # so that it is the worse one of some tokens, too
        for parameter in run.reference.learner.parameters:
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    base, reference, expected, unclipped = tiny[0].eval(), copy.deepcopy(tiny[0]).eval(), [], []
    reference.load_state_dict(run.reference.learner.whole_parameters(), strict=False)
    for examples in problem.by_source:
        excess = []
        for example in examples:
            ids, at = torch.from_numpy(example.ids)[None], np.flatnonzero(example.response)
            with torch.no_grad():
                tokens = [
                    torch.nn.functional.cross_entropy(model(ids).logits[0, at - 1], ids[0, at], reduction="none")
                    for model in (base, reference)
                ]
            excess.append((tokens[0] - tokens[1]).double().numpy())
        expected.append(np.mean([row.clip(min=0).mean() for row in excess]))
        unclipped.append(np.mean([row.mean() for row in excess]))
    run.step()
    seen = [row["value"] for row in run.trajectory if row["quantity"] == "excess"]
    assert seen == pytest.approx(expected, abs=1e-5)
    assert np.abs(np.subtract(expected, unclipped)).max() > 1e-3  # else clipping would not show
    raised = np.exp(0.5 * np.array(expected))
    assert run.weights == pytest.approx(0.999 * raised / raised.sum() + 0.0005, abs=1e-6)


def test_the_final_weights_are_the_mean_over_the_steps(make_problem):
    outcome = weighting.learn(make_problem(), DoReMi(**DRO), 0)
    weights, total = [0.5, 0.5], [0.0, 0.0]
    excess = [row["value"] for row in outcome.trajectory if row["quantity"] == "excess"]
    assert len(excess) == 2 * 8 and min(excess) >= 0
    for k in range(8):
        raised = [p * math.exp(e) for p, e in zip(weights, excess[2 * k : 2 * k + 2], strict=True)]
        weights = [0.999 * value / sum(raised) + 0.0005 for value in raised]
        total = [sum(pair) for pair in zip(total, weights, strict=True)]
    assert outcome.weights == pytest.approx([value / 8 for value in total], abs=1e-12)
    assert list(outcome.extra["last"].values()) == pytest.approx(weights, abs=1e-12)
    assert outcome.row_scores is None


def test_doremi_follows_what_can_be_learnt_whatever_the_validation_set_wants(make_problem):
    """One answer to every question is learnt at once; the sums, which are wanted, hardly are in so few steps."""
    problem = make_problem()
    problem.load_validation = refuse
    outcome = weighting.learn(problem, DoReMi(**DRO | {"steps": 15}), 0)
    assert outcome.weights[1] > 0.6 and outcome.weights.sum() == pytest.approx(1)


def test_models_split_over_processes_are_refused(make_problem):
    with pytest.raises(UserError, match="needs both whole: set `hardware.shard: false`"):
        weighting.learn(make_problem(load_parallel=lambda: Parallel(shard=True)), DoReMi(**DRO), 0)


# --- both ---


@pytest.mark.parametrize("method", METHODS)
def test_too_few_rows_are_refused_with_the_source(make_problem, make_examples, method):
    problem = make_problem(load_by_source=lambda: [make_examples(12), make_examples(3)])
    with pytest.raises(UserError, match="Source wrong has 3 training rows; a step draws `per_source` = "):
        weighting.learn(problem, METHODS[method][1], 0)


@pytest.mark.parametrize("method", METHODS)
def test_every_token_that_goes_through_a_model_is_counted(make_problem, monkeypatch, method):
    looked_at, trained_on, backward, evaluate = [], [], Learner._backward, losses.evaluate

    def tokens(examples):
        return sum(len(example.ids) for example in examples)

    def counted_backward(learner, examples, coefficients):
        trained_on.append(tokens(examples))
        return backward(learner, examples, coefficients)

    def counted_evaluate(loss, examples, *rest):
        looked_at.append(tokens(examples) * (2 if isinstance(loss, doremi.ClippedExcess) else 1))
        return evaluate(loss, examples, *rest)

    monkeypatch.setattr(Learner, "_backward", counted_backward)
    for module in ("scalebio.learner", "scalebio.weighting.doremi"):
        monkeypatch.setattr(f"{module}.evaluate", counted_evaluate)
    outcome = weighting.learn(make_problem(), METHODS[method][1], 0)
    assert looked_at and outcome.spent == weighting.Spent(sum(looked_at) + sum(trained_on), sum(trained_on))


@pytest.mark.parametrize("layers", [None, Lisa(layers=1, interval=2)])
@pytest.mark.parametrize("method, at", [("rho_loss", 2), ("rho_loss", 5), ("doremi", 2), ("doremi", 6)])
def test_a_resumed_run_ends_with_the_same_bits(make_problem, tmp_path, method, at, layers):
    """Stopped in the reference model's steps, and in the other model's."""
    make, settings = METHODS[method]
    through, stopped, resumed = (make(make_problem(layers=layers), settings, 0) for _ in range(3))
    for _ in range(through.steps):
        through.step()
    for _ in range(at):
        stopped.step()
    Checkpoints(tmp_path, {}, Parallel()).save(stopped)
    checkpoints.run(resumed, Checkpoints(tmp_path, {}, Parallel()))
    assert resumed.trajectory == through.trajectory and resumed.spent == through.spent
    assert resumed.weights.tolist() == through.weights.tolist()
    learners = [run.current.learner if method == "rho_loss" else run.proxy.learner for run in (through, resumed)]
    assert all(map(torch.equal, *(learner.parameters for learner in learners)))
    if method == "rho_loss":
        assert all(map(np.array_equal, through.scores, resumed.scores))
