"""Uniform weights: the baseline that every other method has to beat."""

import numpy as np

from scalebio.config_methods import Uniform
from scalebio.weighting import Outcome, Problem


def learn(problem: Problem, settings: Uniform, seed: int) -> Outcome:
    """Every source 1 / number of sources."""
    return Outcome(np.full(len(problem.sources), 1 / len(problem.sources)))
