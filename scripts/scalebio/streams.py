"""Named random streams: every random choice of a run comes from (seed, name), never from a shared global state.

So a change in one place (say, how many batches are drawn) cannot shift the random numbers of another (say,
which layers LISA picks), and the same config gives the same numbers.
"""

import zlib

import numpy as np


def stream(seed: int, *names: object) -> np.random.Generator:
    """A generator that depends on `seed` and the `names` only, e.g. stream(0, "batches", "scalebio")."""
    key = zlib.crc32("/".join(map(str, names)).encode())
    return np.random.default_rng([seed, key])


def torch_seed(seed: int, *names: object) -> int:
    """A 63-bit seed for `torch.Generator.manual_seed`, from the same names."""
    return int(stream(seed, *names).integers(2**63))
