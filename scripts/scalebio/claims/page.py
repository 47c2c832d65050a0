"""From claims and a study's tables to the rows of claims.csv and the page that a reader opens.

One row a test and experiment (for several methods compared with, one each); a test for which the study has no experiment keeps
one row, which says what it needs.
"""

from collections import Counter
from math import nan

import pandas as pd

from scalebio.claims.listing import Band, Claim, Tested
from scalebio.claims.measures import Study, measure
from scalebio.claims.verdicts import NOT_REPRODUCED, NOT_RUN, REPRODUCED, UNDECIDED, Found, Missing, decide
from scalebio.tables.readable import MISSING, Document, Grid, document, grid, name, number, span, strong

COLUMNS = ["claim", "statement", "scale", "study", "experiment", "method", "against", "where", "known", "paper_value"]
COLUMNS += ["quantity", "our_value", "low", "high", "band", "verdict", "why"]
DIGITS = 3


def rows(claims: list[Claim], study: Study) -> pd.DataFrame:
    """Every claim tested on `study`, with COLUMNS; numbers are empty where a test was not run."""
    made = []
    for claim in claims:
        about = {"claim": claim.id, "statement": claim.statement, "where": claim.where, "known": claim.known}
        for test in claim.tests:
            fixed = {"scale": test.scale, "study": study.name, "method": test.method, "paper_value": test.paper or ""}
            fixed |= about | {"band": limit(test.band)}
            made += [fixed | row for row in _rows(test, study)]
        if claim.untested:
            empty = {"scale": "paper", "study": study.name, "method": "", "paper_value": "", "band": ""}
            made.append(empty | about | _not_run("", claim.untested))
    return pd.DataFrame(made, columns=COLUMNS)


def _rows(test: Tested, study: Study) -> list[dict]:
    places = [place.split("/") for place in test.experiments]
    here = [experiment for name, experiment in places if name == study.name and experiment in study.experiments]
    if not here:
        return [_not_run("", test.needs)]
    result = []
    for experiment in here:
        try:
            result += [_judged(experiment, found, test.band) for found in measure(test, experiment, study)]
        except Missing as missing:
            result.append(_not_run(experiment, str(missing), test.needs))
    return result


def _judged(experiment: str, found: Found, band: Band) -> dict:
    verdict, why = decide(found.low, found.high, band)
    row = {"experiment": experiment, "against": found.against, "quantity": found.quantity, "our_value": found.value}
    row |= {"low": found.low, "high": found.high, "verdict": verdict}
    return row | {"why": "; ".join(filter(None, [why, found.why]))}


def _not_run(experiment: str, needs: str, where: str = "") -> dict:
    empty = {"against": "", "quantity": "", "our_value": nan, "low": nan, "high": nan}
    return empty | {"experiment": experiment, "verdict": f"{NOT_RUN}: needs {needs}", "why": where and f"see {where}"}


def limit(band: Band) -> str:
    """A band as a number and in words."""
    sign, value = ("below", band.below) if band.below is not None else ("above", band.above)
    return f"{sign} {value:g}: {band.words}"


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
            strong(row.verdict),
            "; ".join(filter(None, [row.quantity, row.why])) or MISSING,
        ]
        for row in lines.itertuples()
    ]
    note = f"{first['statement']}. Where: {first['where']}. Known to us: {first['known']}."
    return grid(header, rows, note, left=len(header))
