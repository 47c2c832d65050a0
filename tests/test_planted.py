"""Planted tasks are what they say, repeat, and are drawn by the weights; slow: the bars on seeds not used for tuning."""

import numpy as np
import pytest

from scalebio import planted, planted_checks, planted_runs, statistics, weighting
from scalebio.errors import UserError


@pytest.mark.parametrize("name", planted.TASKS)
def test_tasks_have_their_sizes_and_only_answers_count(name):
    task = planted.make(name, 0)
    assert [len(rows) for rows in task.by_source] == [planted.ROWS] * len(task.truth)
    assert (len(task.validation), len(task.test)) == (planted.VALIDATION, planted.TEST)
    assert task.truth.sum() == pytest.approx(1)
    examples = [*task.by_source[0], *task.validation, *task.test]
    assert {len(example.ids) for example in examples} == {task.row_length}
    assert max(example.ids.max() for example in examples) < planted.VOCABULARY
    assert not any(example.response[0] for example in examples) and examples[0].response.any()


def test_held_out_rows_hold_the_planted_shares_exactly():
    task = planted.make("pref631", 3)
    counts = np.bincount([example.source for example in task.test], minlength=4)
    np.testing.assert_allclose(counts / planted.TEST, task.truth, atol=1 / planted.TEST)


def test_conflicting_sources_answer_the_same_prompt_differently():
    task = planted.make("conf73", 0)
    for source, rows in enumerate(task.by_source):
        for row in rows[:20]:
            letters, answer = row.ids[: planted.PROMPT], row.ids[planted.PROMPT + 1 :]
            assert (answer == planted.CIPHERS[source][letters]).all()
    others = {tuple(cipher) for cipher in planted.CIPHERS}
    assert len(others) == len(planted.CIPHERS)


@pytest.mark.parametrize(("source", "rate"), list(enumerate([0, 0.25, 0.5, 0.75, 1])))
def test_denoising_sources_are_spoiled_at_their_rate(source, rate):
    right = [
        (row.ids[planted.PROMPT + 1 :] == planted.CIPHERS[0][row.ids[: planted.PROMPT][::-1]]).all()
        for row in planted.make("denoise5", 1).by_source[source]
    ]
    assert 1 - np.mean(right) == pytest.approx(rate, abs=0.04)


def test_seeds_differ_and_repeat_but_skills_stay():
    first, again, other = (planted.make("lang", seed) for seed in (0, 0, 1))
    assert all((a.ids == b.ids).all() for a, b in zip(first.test, again.test, strict=True))
    assert any((a.ids != b.ids).any() for a, b in zip(first.test, other.test, strict=True))
    pairs = [{(row.ids[i], row.ids[i + 1]) for row in task.by_source[0] for i in range(15)} for task in (first, other)]
    common = len(pairs[0] & pairs[1]) / min(map(len, pairs))
    assert common > 0.8  # the same language


def test_an_unknown_task_is_refused_by_name():
    with pytest.raises(UserError, match="no planted task `nonsense`"):
        planted.make("nonsense", 0)


def test_rows_are_drawn_by_weight_and_again_once_used_up():
    task = planted.make("pref4", 0)
    rows = planted.draw(task, np.array([0.75, 0.25, 0, 0]), 4000, np.random.default_rng(0))
    assert np.bincount([row.source for row in rows], minlength=4).tolist() == [3000, 1000, 0, 0]


def test_total_variation():
    assert statistics.total_variation(np.array([0.7, 0.3]), np.array([0.7, 0.3])) == 0
    assert statistics.total_variation(np.array([1.0, 0]), np.array([0, 1.0])) == 1
    assert statistics.total_variation(np.array([0.5, 0.5]), np.array([0.7, 0.3])) == pytest.approx(0.2)


def test_measuring_gives_a_row_for_every_method(monkeypatch):
    """The whole of `measure` on shortened runs: what it reports, not how good it is."""
    short = planted_runs.PUBLISHED.model_copy(update={"steps": 12})
    methods = {"uniform": planted_runs.METHODS["uniform"], "published": (short, None)}
    monkeypatch.setattr(planted_runs, "METHODS", methods)
    monkeypatch.setattr(planted_runs, "FINAL_STEPS", 3)
    monkeypatch.setattr(planted_runs, "CHECK_STEPS", 10)
    monkeypatch.setitem(planted.BASE_STEPS, "poor", 3)
    rows = planted_runs.measure("denoise5", "poor", 0)
    assert [row["method"] for row in rows] == ["uniform", "published"]
    assert rows[0]["tv"] == pytest.approx(0.8) and rows[0]["regret"] == pytest.approx(1)
    assert rows[0]["gap_closed"] == pytest.approx(0) and rows[0]["verdict"] is None
    assert rows[1]["verdict"] in ("confirmed", "not confirmed") and rows[1]["cpu_seconds"] > 0


FRESH = (40, 41)  # no setting was chosen on these; the rule `planted` measures more of them


def improved(name: str, seed: int, base: str = "poor", method: str = "improved"):
    """The truth, and weights learned by the improved setting before and after pruning."""
    task, (settings, layers) = planted.make(name, seed), planted_runs.METHODS[method]
    outcome = weighting.learn(planted_runs.problem(task, base, layers), settings, seed)
    return task.truth, np.array(list(outcome.extra["final"].values())), outcome.weights


@pytest.mark.slow
@pytest.mark.parametrize("seed", FRESH)
def test_the_clean_source_wins_and_weights_fall_with_corruption(seed):
    _, final, weights = improved("denoise5", seed)
    assert weights[0] >= 0.95
    assert (np.diff(final) <= 0.005).all()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "seed"), [("pref631", 40), ("conf73", 40), ("conf73", 41)])
def test_known_mixtures_are_found_also_where_skills_conflict(name, seed):
    truth, _, weights = improved(name, seed)
    assert statistics.total_variation(weights, truth) <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize(("name", "base"), sorted(planted_runs.LISA_TASKS))
def test_winner_and_proportions_are_found_with_one_layer_in_training_at_a_time(name, base):
    truth, _, weights = improved(name, FRESH[0], base, "improved, LISA 1 of 4")
    assert statistics.total_variation(weights, truth) <= 0.05


@pytest.mark.slow
def test_double_sampling_finds_proportions_in_half_the_steps():
    """Proportions alone: in denoising it leaves weight on a spoiled source on some seeds (docs/measured.md)."""
    truth, _, weights = improved("conf73", FRESH[0], "poor", "double sampling, LISA 1 of 4")
    assert statistics.total_variation(weights, truth) <= 0.05


@pytest.mark.slow
def test_the_language_of_the_validation_set_wins():
    assert improved("lang", FRESH[0])[2][0] >= 0.95


@pytest.mark.slow
def test_the_check_flags_planted_wrong_shares_and_passes_right_ones():
    task = planted.make("conf73", FRESH[0])
    right, wrong = (planted_runs.check(task, "poor", np.array(w), 0) for w in ([0.7, 0.3, 0, 0], [0.4, 0.2, 0.2, 0.2]))
    assert right.verdict == "confirmed" and wrong.verdict == "not confirmed"


def test_hit_rates_and_auc_of_the_check_by_hand():
    def row(tv, ratio, verdict):
        return {"task": "conf73", "base": "poor", "tv": tv, "ratio": ratio, "verdict": verdict}

    rows = [
        row(0.0, -0.1, "confirmed"),
        row(0.05, 0.3, "not confirmed"),
        row(0.2, None, "not confirmed"),
        row(0.12, 0.04, "confirmed"),
        row(0.08, 0.9, "not confirmed"),  # neither right nor wrong
    ]
    found = planted_checks.summary(rows)
    assert found["all"] == found["conf73 poor"]
    # Of four pairs (wrong, right) two have the wrong ratio above: .05 and .04 above −.1.
    assert found["all"] == {"right": 2, "right_confirmed": 1, "wrong": 2, "wrong_flagged": 1, "auc": 0.5}
