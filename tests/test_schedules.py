"""Learning-rate factors against the closed form."""

import math

import pytest

from scalebio.schedules import ramp_cosine


@pytest.mark.parametrize(("steps", "ramp"), [(1, 0), (10, 0), (10, 3), (200, 20), (5, 20)])
def test_factors_stay_in_range_and_are_never_zero(steps, ramp):
    assert all(0 < ramp_cosine(step, steps, ramp) <= 1 for step in range(steps))


def test_without_a_ramp_it_is_half_a_cosine():
    assert [ramp_cosine(step, 4, 0) for step in range(5)] == pytest.approx(
        [1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2, 0]
    )


def test_the_ramp_is_linear_and_ends_after_its_steps():
    cosine = [ramp_cosine(step, 100, 0) for step in range(6)]
    factors = [ramp_cosine(step, 100, 4) / cosine[step] for step in range(6)]
    assert factors == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])


def test_after_the_ramp_it_falls():
    factors = [ramp_cosine(step, 50, 5) for step in range(5, 51)]
    assert factors == sorted(factors, reverse=True) and factors[-1] == pytest.approx(0, abs=1e-12)
