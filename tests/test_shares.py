"""Coefficients of L1 and L2 against sums done by hand, for ours and both releases."""

import numpy as np
import pytest

from scalebio.chat import Example
from scalebio.semantics import PRESETS, Semantics, resolve
from scalebio.shares import reference_shares, training_shares


def example(source: int, length: int, answer: int) -> Example:
    response = np.zeros(length, dtype=bool)
    response[length - answer :] = True
    return Example(np.zeros(length, dtype=np.int64), response, source)


# Four rows: sources 0, 0, 0, 1; lengths 10, 20, 5, 30; answers of 2, 4, 1, 6 tokens.
BATCH = [example(0, 10, 2), example(0, 20, 4), example(0, 5, 1), example(1, 30, 6)]


def test_ours_and_acl_take_each_source_s_mean_over_the_batch():
    for name in ("scalebio", "official_acl"):
        assert training_shares(BATCH, PRESETS[name]) == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1])


def test_v1_by_hand():
    """Micro-batches of two. The first holds source 0 only, so source 1 counts half; padded lengths are 24 and 32."""
    semantics = PRESETS["official_v1"].model_copy(update={"micro_batch": 2})
    first = [1 / 2 * 1 / 2 * 2 / 23, 1 / 2 * 1 / 2 * 4 / 23]
    second = [1 / 2 * 1 / 31, 1 / 2 * 6 / 31]
    assert training_shares(BATCH, semantics) == pytest.approx(first + second)


def test_v1_padding_is_no_change_of_source_means_alone():
    semantics = resolve("scalebio", {"example_loss": "padded", "micro_batch": 8})
    assert training_shares(BATCH, semantics) == pytest.approx([2 / 31 / 3, 4 / 31 / 3, 1 / 31 / 3, 6 / 31])


def test_reference_shares_by_hand():
    assert reference_shares(BATCH, PRESETS["scalebio"]) == pytest.approx([0.25] * 4)
    assert reference_shares(BATCH, PRESETS["official_acl"]) == pytest.approx(np.array([2, 4, 1, 6]) / 13)
    v1 = PRESETS["official_v1"].model_copy(update={"micro_batch": 3})
    assert reference_shares(BATCH, v1) == pytest.approx([2 / 14, 4 / 14, 1 / 14, 1 / 2])


def test_a_difference_changes_one_point():
    changed = resolve("scalebio", {"dropout": True})
    assert changed.dropout and changed.model_dump(exclude={"dropout"}) == Semantics().model_dump(exclude={"dropout"})
