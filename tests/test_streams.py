"""Named random streams: the same for ever, and independent of each other."""

import numpy as np
import pytest

from scalebio.streams import stream, torch_seed


def test_values_are_pinned():
    """A change here changes every result of every study."""
    assert stream(0, "batches").integers(1000, size=4).tolist() == [519, 31, 174, 73]
    assert torch_seed(0, "base weights") == 2039335396836998886


def test_same_names_give_the_same_stream():
    assert np.array_equal(stream(3, "a", 1).random(5), stream(3, "a", 1).random(5))


@pytest.mark.parametrize("other", [(4, "a", "b"), (3, "a", "c"), (3, "b", "a"), (3, "a"), (3, "a", "b", 0)])
def test_another_seed_or_name_gives_other_numbers(other):
    assert not np.array_equal(stream(3, "a", "b").random(5), stream(*other).random(5))


def test_streams_do_not_go_together():
    many = np.array([stream(seed, name).standard_normal(2000) for seed in range(3) for name in ("u", "w", "layers")])
    correlation = np.corrcoef(many) - np.eye(len(many))
    assert np.abs(correlation).max() < 0.12  # 36 pairs of 2000 numbers: five standard errors


def test_no_global_state_is_used_or_touched():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    first = stream(0, "x").random(3)
    np.random.seed(1)
    assert np.array_equal(stream(0, "x").random(3), first)
    np.random.seed(0)
    assert np.array_equal(np.random.get_state()[1], before)


def test_torch_seeds_are_what_torch_takes():
    seeds = {torch_seed(seed, "a") for seed in range(50)}
    assert len(seeds) == 50 and all(0 <= seed < 2**63 for seed in seeds)
