"""Random signs that shorten vectors and keep their angles, about (Johnson and Lindenstrauss 1984; Achlioptas 2003).

The matrix of ±1 is never held: a block of its rows is made anew, from its own stream, whenever it is used.
"""

import numpy as np
import torch
from torch.nn.functional import pad

from scalebio.streams import stream

BLOCK = 1024  # rows of the matrix made at a time; a multiple of 8, because signs are drawn by the byte


class RandomProjection:
    """x → R x / √dimensions with R of random signs [dimensions, length of x], from the streams `seed`, *names, block.

    E ⟨Rx, Ry⟩ / dimensions = ⟨x, y⟩, and for unit vectors the variance is at most 2 / dimensions.
    """

    def __init__(self, dimensions: int, seed: int, *names: object):
        self.dimensions, self.seed, self.names = dimensions, seed, names

    def __call__(self, vectors: torch.Tensor) -> torch.Tensor:
        """Project each of `vectors` [n, length]: [n, dimensions], of the same type and on the same device.

        Memory beside the result: BLOCK × dimensions numbers.
        """
        result = vectors.new_zeros(len(vectors), self.dimensions)
        for number, part in enumerate(vectors.split(BLOCK, dim=1)):
            result += pad(part, (0, BLOCK - part.shape[1])) @ self._block(number).to(part.device, part.dtype)
        return result / self.dimensions**0.5

    def _block(self, number: int) -> torch.Tensor:
        """Signs [BLOCK, dimensions], int8."""
        drawn = stream(self.seed, *self.names, number).bytes(BLOCK * self.dimensions // 8)
        bits = np.unpackbits(np.frombuffer(drawn, dtype=np.uint8)).view(np.int8)
        return torch.from_numpy(2 * bits.reshape(BLOCK, self.dimensions) - 1)
