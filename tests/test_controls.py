"""Controls on planted sequences, whose outcome is known whatever the data; config/controls.yaml runs them on text."""

import dataclasses

import numpy as np
import pytest

from scalebio import planted, planted_runs, weighting
from scalebio.streams import stream

# The improved setting, shortened; no pruning, so that small differences stay to be seen.
SETTINGS = planted_runs.IMPROVED.model_copy(update={"steps": 120, "prune_below": 0.0})


@pytest.fixture(scope="module")
def task():
    return planted.make("pref631", 0)


def on(task, by_source):
    """The task with other sources, from the same base."""
    return dataclasses.replace(task, by_source=by_source)


def learned(task, seed=0):
    problem = planted_runs.problem(task, "poor")
    problem.sources = [f"source {i}" for i in range(len(task.by_source))]
    return weighting.learn(problem, SETTINGS, seed).weights


def test_two_halves_of_one_source_share_equally(task):
    first, *others = task.by_source
    weights = learned(on(task, [first[0::2], first[1::2], *others]))
    assert abs(weights[0] - weights[1]) < 0.1
    assert weights[0] + weights[1] == pytest.approx(0.6, abs=0.1)


def test_a_copy_of_the_validation_set_wins(task):
    """Nothing else has the answers of source 0, which are .6 of the validation set."""
    weights = learned(on(task, [task.validation, *task.by_source[1:]]))
    assert weights[0] > 0.8


def test_sources_that_are_the_same_mixture_are_not_told_apart(task):
    """Rows dealt out to sources at random. Adam makes steps of full size from noise, so the weights wander (and differ
    by seed); what must hold is that none runs away, and that the check confirms nothing.
    """
    rows = [row for source in task.by_source for row in source]
    order = stream(0, "control").permutation(len(rows))
    dealt = on(task, [[rows[i] for i in part] for part in np.array_split(order, 4)])
    weights = learned(dealt)
    assert 0.05 < weights.min() and weights.max() < 0.6
    check = planted_runs.check(dealt, "poor", weights, 0)
    assert check.ratio is None and check.verdict == "not confirmed"
