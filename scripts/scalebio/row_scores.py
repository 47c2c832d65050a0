"""Scores of single rows, from the method that gave them to the mixture that takes the best rows of a source first.

One line for each row that has a score: `source`, `row`, its place among that source's rows of the pool from 0, and
`score`, higher is better. A row beyond `pool_rows`, or one that the method did not look at, has no line; a method that
scores no rows leaves the table empty.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from scalebio.errors import UserError
from scalebio.files import replacing

COLUMNS = {"source": "string", "row": "int64", "score": "float64"}


def write(path: str | Path, sources: list[str], scores: list[np.ndarray] | None) -> None:
    """Write `Outcome.row_scores` of the named sources as Parquet, rows with NaN left out."""
    lines = [
        pd.DataFrame({"source": source, "row": np.arange(len(values)), "score": values})[np.isfinite(values)]
        for source, values in zip(sources, scores or [], strict=scores is not None)
    ]
    table = pd.concat(lines) if lines else pd.DataFrame(columns=list(COLUMNS))
    with replacing(path) as temporary:
        table.astype(COLUMNS).to_parquet(temporary, index=False)


def read(path: str | Path, available: dict[str, int]) -> dict[str, np.ndarray]:
    """What `write` wrote, for sources with so many rows: per source one score a row, NaN where there is none.

    Raises UserError if a score belongs to a row that is not there.
    """
    scores = {source: np.full(count, np.nan) for source, count in available.items()}
    for source, lines in pd.read_parquet(path).groupby("source"):
        rows = lines["row"].to_numpy()
        if source not in scores or rows.max() >= available[source]:
            raise UserError(
                f"{path}: scores row {rows.max()} of source {source}, which has {available.get(source, 0)} rows in the "
                "pool. The pool is another one than the weights were learned on; learn them again."
            )
        scores[source][rows] = lines["score"].to_numpy()
    return scores
