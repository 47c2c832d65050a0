"""RegMix's regression on known loss surfaces and on RegMix's own public tables; the method on known sources."""

import copy

import numpy as np
import pytest
from pydantic import ValidationError

from scalebio import checkpoints, regmix_tables, weighting
from scalebio import mixture_regression as regression
from scalebio.checkpoints import Checkpoints
from scalebio.config import Lisa
from scalebio.config_methods import RegMix
from scalebio.errors import UserError
from scalebio.learner import Learner
from scalebio.parallel import Parallel
from scalebio.streams import stream
from scalebio.weighting.regmix import Runs

SETTINGS = {"kind": "regmix", "runs": 8, "steps": 5, "batch": 6, "learning_rate": 3e-3, "ramp": 1, "regressor": "ridge"}
SETTINGS |= {"simulations": 2000, "top": 20}
EQUAL = np.full(3, 1 / 3)


def drawn(count: int, seed: int = 0) -> np.ndarray:
    return regression.draw_mixtures(EQUAL, count, 0.1, 5.0, stream(seed, "mixtures"))


# --- the regression -----------------------------------------------------------------------------------------------


def test_ridge_against_the_normal_equations_and_a_known_line():
    mixtures, slopes = drawn(60), np.array([1.0, 2.0, 4.0])
    noise = stream(0, "noise").normal(size=60)
    fitted = regression.fit(mixtures, mixtures @ slopes + 0.1 * noise, "ridge", stream(0, "folds"))
    # Of all (intercept, slopes) the one with the least sum of squares and penalty, the intercept free.
    rows = np.column_stack([np.ones(60), mixtures])
    penalty = fitted.penalty * np.diag([0.0, 1, 1, 1])
    expected = np.linalg.solve(rows.T @ rows + penalty, rows.T @ (mixtures @ slopes + 0.1 * noise))
    np.testing.assert_allclose([fitted.intercept, *fitted.slopes], expected, rtol=1e-9)

    exact = regression.fit(mixtures, mixtures @ slopes, "ridge", stream(0, "folds"))
    assert exact.penalty == min(regression.PENALTIES)
    np.testing.assert_allclose(exact.predict(np.eye(3)), slopes, atol=1e-3)
    # Losses that do not depend on the mixture call for the strongest penalty.
    assert regression.fit(mixtures, noise, "ridge", stream(1, "folds")).penalty == max(regression.PENALTIES)


def test_on_a_linear_surface_the_best_source_takes_all():
    mixtures = drawn(60)
    fitted = regression.fit(mixtures, mixtures @ np.array([1.0, 0.2, 0.5]), "ridge", stream(0, "folds"))
    found = regression.best_mixture(fitted, drawn(20_000, seed=1), 100)
    assert found[1] > 0.99 and found.sum() == pytest.approx(1)


@pytest.mark.parametrize("wanted", [[0.6, 0.3, 0.1], [0.2, 0.3, 0.5]])
def test_on_a_quadratic_surface_lightgbm_finds_the_minimum_inside(wanted):
    mixtures, wanted = drawn(300), np.array(wanted)
    losses = np.square(mixtures - wanted).sum(1)
    fitted = regression.fit(mixtures, losses, "lightgbm", stream(0, "fit"))
    candidates = drawn(5_000, seed=1)
    found = regression.best_mixture(fitted, candidates, 32)
    assert np.abs(found - wanted).max() < 0.05
    # A line has no minimum inside.
    line = regression.fit(mixtures, losses, "ridge", stream(0, "fit"))
    assert np.abs(regression.best_mixture(line, candidates, 32) - wanted).max() > 0.3


def test_lightgbm_repeats_to_the_bit_and_needs_forty_runs():
    mixtures = drawn(40)
    losses = mixtures @ np.array([1.0, 2.0, 4.0])
    first, again = (regression.fit(mixtures, losses, "lightgbm", stream(0, "fit")).predict(mixtures) for _ in range(2))
    assert first.tolist() == again.tolist() and np.ptp(first) > 0.1
    too_few = regression.fit(mixtures[:39], losses[:39], "lightgbm", stream(0, "fit"))
    assert np.ptp(too_few.predict(mixtures)) == 0
    assert regression.held_out_correlation(mixtures, losses, "lightgbm", stream(0, "folds")) is None


def test_held_out_correlation_is_high_where_there_is_something_to_learn_only():
    mixtures = drawn(100)
    rng = stream(0, "folds")
    assert regression.held_out_correlation(mixtures, mixtures @ np.arange(3.0), "ridge", rng) > 0.99
    assert abs(regression.held_out_correlation(mixtures, rng.normal(size=100), "ridge", rng)) < 0.4


def test_drawn_mixtures_have_the_mean_and_spread_of_their_distribution():
    """A Dirichlet distribution of strength s has variance m (1 − m) / (s + 1)."""
    shares = np.array([0.7, 0.2, 0.1])
    for strength in (0.1, 5.0):
        mixtures = regression.draw_mixtures(shares, 4000, strength, strength, stream(0, "draw"))
        np.testing.assert_allclose(mixtures.sum(1), 1)
        np.testing.assert_allclose(mixtures.mean(0), shares, atol=0.03)
        np.testing.assert_allclose(mixtures.var(0), shares * (1 - shares) / (strength + 1), rtol=0.1)


def test_tempered_shares():
    np.testing.assert_allclose(regression.temper(np.array([16.0, 4.0]), 0.5), [2 / 3, 1 / 3])
    np.testing.assert_allclose(regression.temper(np.array([16.0, 4.0]), 1.0), [0.8, 0.2])


def test_regret_of_a_known_choice():
    losses = np.array([3.0, 1.0, 2.0, 6.0])
    assert regression.regret(np.array([5.0, 4.0, 0.0, 9.0]), losses) == (1.0, 2.0)
    assert regression.regret(losses, losses) == (0.0, 2.0)
    assert regression.rank_correlation(np.array([30.0, 10.0, 20.0, 60.0]), losses) == pytest.approx(1)


# --- RegMix's public tables ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tables(shared_data):
    folder = shared_data / "regmix"
    if not folder.is_dir():
        pytest.skip(f"RegMix's tables are not in {folder}")
    return {"train": regmix_tables.read(folder, "train", "1m")} | {
        size: regmix_tables.read(folder, "test", size) for size in regmix_tables.SIZES
    }


def fitted(tables, regressor: str) -> regression.Regression:
    training = tables["train"]
    return regression.fit(training.mixtures, training.losses, regressor, stream(0, "tables"))


def test_lightgbm_ranks_unseen_mixtures_as_the_paper_says(tables):
    """Paper: 98.45 at 1M. Measured: .990, .986, .962; the best mixture among the unseen is found at each size."""
    model = fitted(tables, "lightgbm")
    for size, least in (("1m", 0.9845), ("60m", 0.98), ("1B", 0.95)):
        seen = regmix_tables.judge(model, tables[size])
        assert seen["correlation"] >= least and seen["regret"] < 0.01 < 0.1 < seen["chance"], size


def test_a_line_ranks_them_worse_and_chooses_worse(tables):
    """Paper: 90.08 at 1M. A high correlation at 1B all the same costs .07 nats, nearly half of what chance costs."""
    model = fitted(tables, "ridge")
    assert 0.89 < regmix_tables.judge(model, tables["1m"])["correlation"] < 0.91
    assert 0.88 < regmix_tables.judge(model, tables["60m"])["correlation"] < 0.91
    large = regmix_tables.judge(model, tables["1B"])
    assert large["correlation"] > 0.85 and 0.05 < large["regret"] < 0.1


def test_shuffled_losses_rank_nothing(tables):
    """The bars above are not met by the tables' shape alone."""
    training = tables["train"]
    shuffled = stream(0, "shuffle").permutation(training.losses)
    model = regression.fit(training.mixtures, shuffled, "lightgbm", stream(0, "tables"))
    assert abs(regmix_tables.judge(model, tables["1m"])["correlation"]) < 0.3


def test_the_chosen_mixture_is_the_published_one(tables):
    """The release's result for a 1B model: .870 Pile-CC, .064 Ubuntu IRC, .024 PubMed abstracts, .016 Wikipedia."""
    shares = [0.1133, 0.0796, 0.0039, 0.1854, 0.0511, 0.0160, 0.1018, 0.0037, 0.0665]  # of tokens, as released
    shares += [0.0018, 0.0271, 0.2369, 0.0118, 0.0079, 0.0080, 0.0388, 0.0464]
    candidates = stream(0, "simulations").dirichlet(np.array(shares), 20_000)  # a fifth of the release's
    found = regression.best_mixture(fitted(tables, "lightgbm"), candidates, 26)
    by_name = dict(zip(tables["train"].domains, found, strict=True))
    assert by_name["pile_cc"] == pytest.approx(0.870, abs=0.03)
    assert by_name["ubuntu_irc"] == pytest.approx(0.064, abs=0.03)
    assert max(share for name, share in by_name.items() if name not in ("pile_cc", "ubuntu_irc")) < 0.04


def test_missing_and_mismatched_tables_are_refused(tmp_path):
    with pytest.raises(UserError, match="train_mixture_1m.csv: no such file. Fetch"):
        regmix_tables.read(tmp_path, "train", "1m")
    (tmp_path / "train_mixture_1m.csv").write_text("index,train_the_pile_a\n1,1.0\n")
    (tmp_path / "train_pile_loss_1m.csv").write_text(f"index,{regmix_tables.TARGET}\n2,1.0\n")
    with pytest.raises(UserError, match="are not of the same runs"):
        regmix_tables.read(tmp_path, "train", "1m")


# --- the method ---------------------------------------------------------------------------------------------------


@pytest.fixture
def problem(tiny, make_examples):
    """problem(**changes) → two sources, one with right and one with wrong answers, and the tiny model; its reports."""

    def make(**changes):
        reports = []
        given = {
            "sources": ["right", "wrong"],
            "load_model": lambda: copy.deepcopy(tiny[0]),
            "load_by_source": lambda: [
                make_examples(12, seed=1),
                make_examples(24, source=1, seed=2, answer=lambda a, b: 7),
            ],
            "load_validation": lambda: make_examples(8, seed=3),
            "row_length": 64,
            "progress": lambda done, total, text, tokens=0: reports.append((done, total, text, tokens)),
        }
        return weighting.Problem(**given | changes), reports

    return make


def test_the_right_source_wins_and_every_token_is_counted(problem, monkeypatch):
    seen, backward = [], Learner._backward

    def counted(learner, examples, coefficients):
        seen.append(sum(len(example.ids) for example in examples))
        return backward(learner, examples, coefficients)

    monkeypatch.setattr(Learner, "_backward", counted)
    given, reports = problem()
    before = [parameter.clone() for parameter in given.model.parameters()]
    outcome = weighting.learn(given, RegMix(**SETTINGS), seed=0)
    assert outcome.weights[0] > 0.9 and outcome.weights.sum() == pytest.approx(1)
    assert all((now == then).all() for now, then in zip(given.model.parameters(), before, strict=True))
    assert outcome.extra.keys() == {"final", "rank_correlation", "predicted_loss", "best_run_loss"}

    assert len(seen) == 8 * 5 and outcome.spent.backward_tokens == sum(seen)
    looked_at = 8 * sum(len(example.ids) for example in given.validation)
    assert outcome.spent.forward_tokens == sum(seen) + looked_at == sum(report[3] for report in reports)
    assert [report[:2] for report in reports] == [(run + 1, 8) for run in range(8)]

    rows = {(row["step"], row["source"], row["quantity"]): row["value"] for row in outcome.trajectory}
    losses = [rows[run, None, "validation_loss"] for run in range(8)]
    assert min(losses) == outcome.extra["best_run_loss"] and len(set(losses)) > 4
    shares = np.array([[rows[run, source, "mixture"] for source in ("right", "wrong")] for run in range(8)])
    np.testing.assert_allclose(shares.sum(1), 1)
    # The run with the most right answers learns more of them than the one with the fewest.
    assert losses[shares[:, 0].argmax()] < losses[shares[:, 0].argmin()]


def test_the_whole_way_on_a_known_loss_surface(problem, monkeypatch):
    """Drawing, fitting and simulating, with a formula in the place of training; no model is loaded."""

    def step(runs):
        runs.losses.append(float(np.square(runs.mixtures[runs.done] - [0.7, 0.3]).sum()))
        return runs.losses[-1], 0

    monkeypatch.setattr(Runs, "step", step)
    settings = RegMix(**SETTINGS | {"regressor": "lightgbm", "runs": 200})
    outcome = weighting.learn(problem(load_model=lambda: pytest.fail("loaded"))[0], settings, seed=0)
    np.testing.assert_allclose(outcome.weights, [0.7, 0.3], atol=0.05)
    assert outcome.extra["rank_correlation"] > 0.9
    assert outcome.extra["final"] == pytest.approx({"right": outcome.weights[0], "wrong": outcome.weights[1]})


def test_runs_go_on_from_a_checkpoint_to_the_same_bits(problem, tmp_path):
    mixtures = regression.draw_mixtures(np.array([0.5, 0.5]), 3, 0.1, 5.0, stream(0, "runs"))
    settings = RegMix(**SETTINGS | {"steps": 2})

    def runs():
        return Runs(problem(layers=Lisa(layers=1, interval=1))[0], settings, 0, mixtures)

    through, stopped, resumed = runs(), runs(), runs()
    checkpoints.run(through, Checkpoints(None, {}, Parallel()))
    stopped.step()
    Checkpoints(tmp_path, {}, Parallel()).save(stopped)
    checkpoints.run(resumed, Checkpoints(tmp_path, {}, Parallel()))
    assert resumed.losses == through.losses and resumed.spent == through.spent


def test_a_source_without_rows_is_refused(problem, make_examples):
    with pytest.raises(UserError, match="Source wrong has no training rows"):
        weighting.learn(problem(load_by_source=lambda: [make_examples(4), []])[0], RegMix(**SETTINGS), seed=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"regressor": "lightgbm"}, "runs: 8 are too few for `regressor: lightgbm`"),
        ({"top": 3000}, "top: 3000 of 2000 `simulations`"),
        ({"lowest_strength": 6}, "lowest_strength: 6 is above `highest_strength` 5"),
        ({"runs": 4}, "runs"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        RegMix(**SETTINGS | changes)
