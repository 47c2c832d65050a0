"""The house's helpers by hand: labels that keep apart, and long names that keep both ends."""

import numpy as np

from scalebio.figures import house


def test_spread_out_by_hand():
    assert house.spread_out([0, 5, 9], 1, 0, 10).tolist() == [0, 5, 9]
    assert house.spread_out([5, 5, 5], 1, 0, 10).tolist() == [4, 5, 6]
    assert house.spread_out([0, 0, 9], 2, 0, 10).tolist() == [0, 2, 9]
    assert house.spread_out([10, 10], 2, 0, 10).tolist() == [8, 10]
    assert house.spread_out([3, 3, 3], 9, 0, 10).tolist() == [0, 5, 10]  # does not fit: the gap shrinks


def test_spread_out_keeps_gap_and_bounds_and_moves_little():
    rng = np.random.default_rng(0)
    for _ in range(200):
        wanted = np.sort(rng.uniform(0, 10, size=rng.integers(1, 12)))
        placed = house.spread_out(wanted, 0.8, 0, 10)
        assert placed.min() >= -1e-9 and placed.max() <= 10 + 1e-9 and (np.diff(placed) >= 0.8 - 1e-9).all()
        # No label moved alone, within its room, could be nearer to its line.
        for i, (at, goal) in enumerate(zip(placed, wanted, strict=True)):
            low = placed[i - 1] + 0.8 if i else 0
            high = placed[i + 1] - 0.8 if i + 1 < len(placed) else 10
            assert abs(np.clip(goal, low, max(low, high)) - goal) >= abs(at - goal) - 1e-6


def test_short_keeps_both_ends():
    assert house.short("abc", 3) == "abc" and house.short("abcdefghij", 5) == "ab…ij"
    assert len(house.short("x" * 100)) == house.LONGEST_NAME
