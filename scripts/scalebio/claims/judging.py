"""From claims and a study's tables to the rows of claims.csv.

One row a test and experiment (for several methods compared with, one each); a test for which the study has no experiment keeps
one row, which says what it needs.
"""

from math import nan

import pandas as pd

from scalebio.claims import NOT_RUN
from scalebio.claims.listing import Band, Claim, Tested
from scalebio.claims.measures import Study, measure
from scalebio.claims.page import COLUMNS
from scalebio.claims.verdicts import Found, Missing, decide


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
