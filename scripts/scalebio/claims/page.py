"""What a reader sees of claims.csv: what was counted, then every claim with its tests.

Needs no more than the tables do, because the report shows it too.
"""

from collections import Counter
from pathlib import Path

import pandas as pd

from scalebio.claims import NOT_REPRODUCED, NOT_RUN, REPRODUCED, UNDECIDED
from scalebio.tables import tidy
from scalebio.tables.readable import MISSING, Document, Grid, document, grid, name, number, span, strong

NUMBERS = ["our_value", "low", "high"]
COLUMNS = ["claim", "statement", "scale", "study", "experiment", "method", "against", "where", "known", "paper_value"]
COLUMNS += ["quantity", *NUMBERS, "band", "verdict", "why"]
DIGITS = 3


def read(path: str | Path) -> pd.DataFrame:
    """claims.csv as it was before it was written. Raises UserError for a file that cannot be read."""
    return tidy.read_csv(path, COLUMNS, text=set(COLUMNS) - set(NUMBERS))


def page(frame: pd.DataFrame) -> Document:
    """What was counted, then every claim with its tests."""
    tested = frame[~frame["verdict"].str.startswith(NOT_RUN)]
    summary = [
        [name(claim), lines["statement"].iloc[0], *_counts(lines, ("small", "paper"))]
        for claim, lines in frame.groupby("claim", sort=False)
    ]
    sections = [("All claims", grid(["claim", "statement", "small scale", "the paper's scale"], summary, left=4))]
    sections += [(name(claim), _section(lines)) for claim, lines in frame.groupby("claim", sort=False)]
    text = (
        f"Of {len(frame)} tests {len(tested)} were run in this study. A claim counts as {strong(REPRODUCED)} where the whole 95 % interval of "
        f"our value lies in the band, as {strong(NOT_REPRODUCED)} where all of it lies outside, as {strong(UNDECIDED)} where it straddles the "
        "band's limit or where one run gives no interval. Small scale: planted truths and a model of a fraction of a million "
        "parameters; it tests whether the claim holds there, not the paper's numbers. How verdicts are made: docs/claims.md."
    )
    return document("Claims of the paper", text, sections)


def _counts(lines: pd.DataFrame, scales: tuple[str, ...]) -> list[str]:
    """How many tests of each scale ended how."""
    cells = []
    for scale in scales:
        verdicts = Counter(verdict.split(":")[0] for verdict in lines["verdict"][lines["scale"] == scale])
        order = (REPRODUCED, NOT_REPRODUCED, UNDECIDED, NOT_RUN)
        cells.append(", ".join(f"{verdicts[verdict]} {verdict}" for verdict in order if verdicts[verdict]) or MISSING)
    return cells


def _section(lines: pd.DataFrame) -> Grid:
    """One claim: what it says, where, and a row for each test."""
    first = lines.iloc[0]
    header = ["scale", "experiment", "against", "paper", "ours", "95 % interval", "band", "verdict", "why"]
    rows = [
        [
            row.scale,
            name(row.experiment) if row.experiment else MISSING,
            row.against or MISSING,
            row.paper_value or MISSING,
            number(row.our_value, DIGITS),
            span(row.low, row.high, DIGITS),
            row.band or MISSING,
            _told(row.verdict),
            "; ".join(filter(None, [row.quantity, row.why])) or MISSING,
        ]
        for row in lines.itertuples()
    ]
    note = f"{first['statement']}. Where: {first['where']}. Known to us: {first['known']}."
    return grid(header, rows, note, left=len(header), folded=True)


def _told(verdict: str) -> str:
    """The verdict in bold, what it would need as it is."""
    word, colon, needs = verdict.partition(":")
    return f"{strong(word)}{colon}{needs}"
