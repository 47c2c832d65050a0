"""Drawing the training set of the final model: so many rows of each source as its weight asks for.

A weight is a probability per source, not per row, so a source's size plays no part; a source that is too small is
repeated, evenly, and the repeats are recorded. Above the source's `max_repeat` they are refused, or where the experiment says
`over_supply: cap` the source gives all it may, and what it cannot give goes to the others in proportion to their weights (ours).

Which rows of a source: at random, or where the method scored single rows the best of them first, then in random order
those without a score (of which nothing is known), and only then any row again.
"""

import math

import numpy as np

from scalebio.allotment import allot
from scalebio.errors import UserError
from scalebio.streams import stream


def supplied(
    weights: dict[str, float],
    available: dict[str, int],
    rows: int,
    max_repeat: dict[str, int | None],
    over_supply: str = "refuse",
) -> dict[str, int]:
    """Rows to take from each source, summing to `rows`, by largest remainder (`allot`).

    Raises UserError if a source would be repeated more often than its `max_repeat`, or under `over_supply: cap`, if all sources
    with a weight together may not give so many.
    """
    limits = {name: limit * available[name] for name, limit in max_repeat.items() if limit and name in weights}
    capped = {}
    while True:
        left, free = rows - sum(capped.values()), {name: w for name, w in weights.items() if name not in capped}
        if left and not any(free.values()):
            given = ", ".join(f"{name} {count}" for name, count in capped.items())
            raise UserError(
                f"{rows} rows are asked for, and under `max_repeat` all sources with a weight together give {rows - left} "
                f"({given}). Lower `finetuning.rows`, add rows, or raise `max_repeat`."
            )
        counts = allot(left, free) if left else dict.fromkeys(free, 0)
        over = {name: limits[name] for name, count in counts.items() if name in limits and count > limits[name]}
        if not over:
            return {name: capped.get(name, counts.get(name)) for name in weights}
        if over_supply == "refuse":
            name = next(iter(over))
            repeats = math.ceil(counts[name] / available[name])
            raise UserError(
                f"source {name}: weight {weights[name]:.3f} asks for {counts[name]} rows, {repeats} times each of its "
                f"{available[name]}; max_repeat is {max_repeat[name]}. Lower `finetuning.rows`, add rows, raise `max_repeat`, "
                "or set `over_supply: cap` in the experiment to give the rest to the other sources."
            )
        capped |= over


def draw(
    weights: dict[str, float],
    available: dict[str, int],
    rows: int,
    seed: int,
    max_repeat: dict[str, int | None],
    scores: dict[str, np.ndarray] | None = None,
    over_supply: str = "refuse",
) -> dict[str, np.ndarray]:
    """Row indices to take from each source; whole passes over a source before any row comes again.

    `scores` has one number per row of a source, higher is better, NaN for none; equal ones come in random order.
    Raises UserError as `supplied`.
    """
    chosen = {}
    for name, count in supplied(weights, available, rows, max_repeat, over_supply).items():
        repeats = math.ceil(count / available[name])
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
    """Asked against realised shares, per source: {asked, rows, share, tokens, token_share, repeats, available, capped}.

    `capped`: rows that the weight asks for and `max_repeat` kept back, which went to other sources.
    """
    total_rows, total_tokens = sum(rows.values()), sum(tokens.values())
    wanted = allot(total_rows, weights)
    return {
        name: {
            "asked": weights[name],
            "rows": rows[name],
            "share": rows[name] / total_rows,
            "tokens": tokens[name],
            "token_share": tokens[name] / total_tokens,
            "repeats": math.ceil(rows[name] / available[name]),
            "available": available[name],
            "capped": max(wanted[name] - rows[name], 0),
        }
        for name in weights
    }
