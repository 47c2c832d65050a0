"""Weights by size: what training on all rows together would do."""

import numpy as np

from scalebio.config_methods import SizeProportional
from scalebio.weighting import Outcome, Problem


def learn(problem: Problem, settings: SizeProportional, seed: int) -> Outcome:
    """Every source its rows in the whole pool, whatever `pool_rows`, as a share of all rows."""
    sizes = np.array(problem.sizes, dtype=float)
    return Outcome(sizes / sizes.sum())
