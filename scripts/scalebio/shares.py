"""What one example counts in L1 and L2: coefficients, in which all choices of what is averaged over what come down to.

With a_i from `training_shares`, the loss of source s is Σ_{i in s} a_i l_i, and example i enters L2 with p_s a_i; with
b_i from `reference_shares`, L1 is Σ b_i l_i. l_i is always the mean over the response tokens of example i.
"""

import numpy as np

from scalebio.semantics import Semantics


def training_shares(examples: list, semantics: Semantics) -> np.ndarray:
    """a_i of one global batch, in the order drawn: shape [examples], float64."""
    groups = _micro_batches(len(examples), semantics.micro_batch)
    if semantics.source_mean == "batch":
        counted = [range(len(examples))]
    else:
        counted = groups
    shares = np.zeros(len(examples))
    for group in counted:
        sources = np.array([examples[i].source for i in group])
        for place, i in enumerate(group):
            shares[i] = 1 / (np.count_nonzero(sources == sources[place]) * len(counted))
    if semantics.example_loss == "padded":
        for group in groups:
            # The releases pad to a multiple of 8; the shift by one leaves length − 1 positions.
            length = -(-max(len(examples[i].ids) for i in group) // 8) * 8
            for i in group:
                shares[i] *= np.count_nonzero(examples[i].response) / (length - 1)
    return shares


def reference_shares(examples: list, semantics: Semantics) -> np.ndarray:
    """b_i of one validation batch, in the order drawn: shape [examples], float64, summing to 1."""
    if semantics.reference_mean == "example":
        return np.full(len(examples), 1 / len(examples))
    tokens = np.array([np.count_nonzero(example.response) for example in examples], dtype=float)
    if semantics.reference_mean == "token":
        return tokens / tokens.sum()
    groups = _micro_batches(len(examples), semantics.micro_batch)
    return np.concatenate([tokens[group] / tokens[group].sum() / len(groups) for group in groups])


def _micro_batches(count: int, size: int) -> list[range]:
    return [range(start, min(start + size, count)) for start in range(0, count, size)]
