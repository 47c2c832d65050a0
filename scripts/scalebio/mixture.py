"""Drawing the training set of the final model: so many rows of each source as its weight asks for.

A weight is a probability per source, not per row, so a source's size plays no part; a source that is too small is
repeated, evenly, and the repeats are recorded (and refused above the source's `max_repeat`).

Which rows of a source: at random, or where the method scored single rows the best of them first, then in random order
those without a score (of which nothing is known), and only then any row again.
"""

import math

import numpy as np

from scalebio.allotment import allot
from scalebio.errors import UserError
from scalebio.streams import stream


def draw(
    weights: dict[str, float],
    available: dict[str, int],
    rows: int,
    seed: int,
    max_repeat: dict[str, int | None],
    scores: dict[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Row indices to take from each source; whole passes over a source before any row comes again.

    `scores` has one number per row of a source, higher is better, NaN for none; equal ones come in random order.
    Raises UserError if a source would be repeated more often than its `max_repeat`.
    """
    chosen = {}
    for name, count in allot(rows, weights).items():
        repeats = math.ceil(count / available[name])
        limit = max_repeat.get(name)
        if limit and repeats > limit:
            raise UserError(
                f"source {name}: weight {weights[name]:.3f} asks for {count} rows, {repeats} times each of its "
                f"{available[name]}; max_repeat is {limit}. Lower `finetuning.rows`, add rows, or raise `max_repeat`."
            )
        rng = stream(seed, "mixture", name)
        passes = [rng.permutation(available[name]) for _ in range(repeats)]
        if scores:
            # numpy sorts NaN to the end; a stable sort leaves equal scores in the order of the permutation.
            passes = [order[np.argsort(-scores[name][order], kind="stable")] for order in passes]
        chosen[name] = np.concatenate(passes)[:count] if passes else np.empty(0, dtype=np.int64)
    return chosen


def realised(
    weights: dict[str, float], available: dict[str, int], tokens: dict[str, int], rows: dict[str, int]
) -> dict[str, dict]:
    """Asked against realised shares, per source: {asked, rows, share, tokens, token_share, repeats, available}."""
    total_rows, total_tokens = sum(rows.values()), sum(tokens.values())
    return {
        name: {
            "asked": weights[name],
            "rows": rows[name],
            "share": rows[name] / total_rows,
            "tokens": tokens[name],
            "token_share": tokens[name] / total_tokens,
            "repeats": math.ceil(rows[name] / available[name]),
            "available": available[name],
        }
        for name in weights
    }
