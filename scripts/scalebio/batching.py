"""Batches: which examples, in which order, and how they are packed into rectangles without padding waste.

Examples share rows of a batch end to end; position ids restart at each, from which transformers builds the
block-diagonal causal mask, so no example sees another (tested equal to padding within 1e-5).
"""

from dataclasses import dataclass

import numpy as np
import torch

from scalebio.chat import Example
from scalebio.errors import UserError


@dataclass(frozen=True)
class Packed:
    """A packed batch.

    `input_ids`, `position_ids`: [rows, length]. For the T response tokens of all examples: `predictors` [T] is the
    flat position whose hidden state predicts the token, `targets` [T] its id, `samples` [T] the index of its example.
    `tokens` counts real tokens, `examples` the examples packed, `lengths` the tokens of each example, row by row.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    predictors: torch.Tensor
    targets: torch.Tensor
    samples: torch.Tensor
    examples: int
    tokens: int
    lengths: tuple[tuple[int, ...], ...]

    def to(self, device: torch.device) -> "Packed":
        """The same batch on another device."""
        tensors = ("input_ids", "position_ids", "predictors", "targets", "samples")
        return Packed(*(getattr(self, name).to(device) for name in tensors), self.examples, self.tokens, self.lengths)


def pack(examples: list[Example], row_length: int) -> Packed:
    """Pack examples into as few rows of at most `row_length` tokens as first-fit-decreasing finds.

    The order of `samples` indices is the order of `examples`. Rows are cut to the longest one used.
    """
    rows: list[list[int]] = []
    room: list[int] = []
    for i in sorted(range(len(examples)), key=lambda i: -len(examples[i].ids)):
        size = len(examples[i].ids)
        row = next((r for r, free in enumerate(room) if free >= size), None)
        if row is None:
            rows.append([])
            room.append(max(row_length, size))
            row = len(rows) - 1
        rows[row].append(i)
        room[row] -= size
    length = max(sum(len(examples[i].ids) for i in row) for row in rows)
    ids = np.zeros((len(rows), length), dtype=np.int64)
    positions = np.zeros((len(rows), length), dtype=np.int64)
    predictors, targets, samples = [], [], []
    for r, row in enumerate(rows):
        start = 0
        for i in row:
            example = examples[i]
            end = start + len(example.ids)
            ids[r, start:end] = example.ids
            positions[r, start:end] = np.arange(len(example.ids))
            at = np.flatnonzero(example.response)
            predictors.append(r * length + start + at - 1)
            targets.append(example.ids[at])
            samples.append(np.full(len(at), i))
            start = end
        positions[r, start:] = np.arange(length - start)  # padding is one more block of its own
    flat = [torch.from_numpy(np.concatenate(parts)) for parts in (predictors, targets, samples)]
    tokens = sum(len(example.ids) for example in examples)
    lengths = tuple(tuple(len(examples[i].ids) for i in row) for row in rows)
    return Packed(torch.from_numpy(ids), torch.from_numpy(positions), *flat, len(examples), tokens, lengths)


def check_rows(
    names: list[str], by_source: list[list[Example]], per_source: int, validation: list[Example] | None = None
) -> None:
    """Raise UserError, naming source or row, unless there is enough to draw from: `per_source` rows of each named source
    and, where `validation` is given, one there, all with a response token.
    """
    for name, examples in zip(names, by_source, strict=True):
        if len(examples) < per_source:
            rows = "no training rows" if not examples else f"{len(examples)} training rows"
            raise UserError(
                f"Source {name} has {rows}; a step draws `per_source` = {per_source} of each source. Give it more rows or "
                "lower `per_source`."
            )
    if validation is not None and not validation:
        raise UserError("There are no validation rows; raise `validation_rows` of the reference.")
    for example in [*(validation or []), *(example for examples in by_source for example in examples)]:
        if not example.response.any():
            raise UserError(f"{example.name or 'A row'} has no response token, so it has no loss. Remove it.")


class Cycle:
    """Endless draws from a list without replacement: a fresh shuffle each time round, from its own stream."""

    def __init__(self, size: int, rng: np.random.Generator):
        self.size, self.rng = size, rng
        self.order = np.empty(0, dtype=np.int64)

    def take(self, count: int) -> list[int]:
        """The next `count` indices; repeats appear only after every index has been used."""
        while len(self.order) < count:
            self.order = np.concatenate([self.order, self.rng.permutation(self.size)])
        taken, self.order = self.order[:count], self.order[count:]
        return taken.tolist()

    def state(self) -> dict:
        """Where the draws stand, as plain values."""
        return {"order": self.order.tolist(), "rng": self.rng.bit_generator.state}

    def load(self, state: dict) -> None:
        """Go on from a `state`."""
        self.order = np.array(state["order"], dtype=np.int64)
        self.rng.bit_generator.state = state["rng"]


class FreshHeads:
    """Draws as the ACL release makes them: every micro-batch is the head of a fresh shuffle, so rows may repeat at once."""

    def __init__(self, size: int, micro_batch: int, rng: np.random.Generator):
        self.size, self.micro_batch, self.rng = size, micro_batch, rng

    def take(self, count: int) -> list[int]:
        """The next `count` indices."""
        heads = []
        while len(heads) < count:
            heads += self.rng.choice(self.size, min(self.micro_batch, self.size), replace=False).tolist()
        return heads[:count]

    def state(self) -> dict:
        """Where the draws stand, as plain values."""
        return {"rng": self.rng.bit_generator.state}

    def load(self, state: dict) -> None:
        """Go on from a `state`."""
        self.rng.bit_generator.state = state["rng"]


class StratifiedDraws:
    """The same number of examples from every source at each step, so that no source is ever missing from L2."""

    def __init__(self, by_source: list[list[Example]], per_source: int, rng: np.random.Generator):
        self.by_source, self.per_source = by_source, per_source
        self.cycles = [
            Cycle(len(examples), child) for examples, child in zip(by_source, rng.spawn(len(by_source)), strict=True)
        ]

    def next(self) -> list[Example]:
        """per_source examples of source 0, then of source 1, …"""
        return [
            examples[i]
            for examples, cycle in zip(self.by_source, self.cycles, strict=True)
            for i in cycle.take(self.per_source)
        ]

    def state(self) -> dict:
        """Where the draws stand, as plain values."""
        return {"cycles": [cycle.state() for cycle in self.cycles]}

    def load(self, state: dict) -> None:
        """Go on from a `state`."""
        for cycle, saved in zip(self.cycles, state["cycles"], strict=True):
            cycle.load(saved)


class MixedDraws:
    """Batches from all rows together, so that a source turns up as often as its size says; as the releases draw."""

    def __init__(self, by_source: list[list[Example]], batch: int, indices: Cycle | FreshHeads):
        self.rows = [example for examples in by_source for example in examples]
        self.batch, self.indices = batch, indices

    def next(self) -> list[Example]:
        """`batch` examples in the order drawn."""
        return [self.rows[i] for i in self.indices.take(self.batch)]

    def state(self) -> dict:
        """Where the draws stand, as plain values."""
        return self.indices.state()

    def load(self, state: dict) -> None:
        """Go on from a `state`."""
        self.indices.load(state)
