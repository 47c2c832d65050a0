"""How many answers are right, with intervals: overall, and for MATH by subject and level."""

from collections.abc import Iterator

import pandas as pd
from scipy.stats import binomtest

COLUMNS = ["benchmark", "grouping", "group", "accuracy", "low", "high", "n", "correct", "unparsed", "shortened"]
ALL = "all"
GROUPINGS = ("subject", "level")
LEVEL = 0.95


def table(graded: list[dict]) -> pd.DataFrame:
    """One row per benchmark and group, with COLUMNS, from the rows of graded.jsonl.

    `accuracy` is the share of right answers; an answer that could not be compared (`unparsed`: none given, unreadable, or
    over the limit) is wrong. `low` and `high` end the Wilson interval. `shortened` counts prompts that lost their middle.
    """
    rows = []
    for benchmark, grouping, group, part in groups(pd.DataFrame(graded)):
        n, correct = len(part), int(part["correct"].sum())
        counts = [n, correct, int((part["problem"] != "").sum()), int(part["shortened"].sum())]
        rows.append([benchmark, grouping, group, correct / n, *wilson(correct, n), *counts])
    return pd.DataFrame(rows, columns=COLUMNS)


def groups(data: pd.DataFrame) -> Iterator[tuple[str, str, str, pd.DataFrame]]:
    """(benchmark, grouping, group, its rows): each benchmark as a whole, then by subject and level where it has them."""
    for benchmark, part in data.groupby("benchmark", sort=False):
        yield benchmark, ALL, ALL, part
        for grouping in GROUPINGS:
            for group, rows in part[part[grouping] != ""].groupby(grouping):
                yield benchmark, grouping, group, rows


def wilson(correct: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Ends of Wilson's score interval for a share of `correct` in `n` (Wilson 1927, doi 10.2307/2276774)."""
    interval = binomtest(correct, n).proportion_ci(level, "wilson")
    return float(interval.low), float(interval.high)
