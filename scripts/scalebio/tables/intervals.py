"""How sure learned weights are: their intervals, whether they differ from equal ones, and whether that changes the mixture.

The statistics are those of `compositions`; what the seeds of an experiment vary stands beside them.
"""

import numpy as np
import pandas as pd

from scalebio import compositions
from scalebio.tables.readable import MISSING, Document, document, grid, name, number, probability, span

TRAINING = "data order, layers"
COLUMNS = [
    "experiment",
    "method",
    "source",
    "seeds",
    "varied",
    "weight",
    "centre",
    "low",
    "high",
    "rows_low",
    "rows_high",
]
COLUMNS += ["source_p", "test", "p", "verdict", "rows", "rows_from_uniform", "rows_from_uniform_low"]
COLUMNS += ["rows_from_uniform_high", "rows_between_seeds", "rows_by_chance", "changes_sample"]


def varied(facts: dict) -> str:
    """What the seeds of an experiment vary while weights are learned."""
    return TRAINING + ", validation rows" * bool(facts.get("validation_bootstrap"))


def _groups(frame: pd.DataFrame, experiments: dict[str, dict]):
    """Of each experiment and method the identity, the weights [seeds, sources], the sources and the experiment's facts."""
    for (experiment, method), part in frame.groupby(["experiment", "method"], sort=False):
        sources = list(dict.fromkeys(part["source"]))
        shares = part.pivot(index="seed", columns="source", values="weight")[sources].to_numpy()
        yield (experiment, method), shares, sources, experiments.get(experiment, {})


def beside(frame: pd.DataFrame, experiments: dict[str, dict]) -> pd.DataFrame:
    """`frame` of weights with the columns `low` and `high`; empty with one seed, or where the rows of the mixture are not known."""
    ends = {}
    for who, shares, sources, facts in _groups(frame, experiments):
        found = [(np.nan, np.nan)] * len(sources)
        if facts.get("rows"):
            smallest, resampled = compositions.smallest_share(facts["rows"]), bool(facts.get("validation_bootstrap"))
            found = [made[1:3] for made in compositions.share_intervals(shares, smallest, resampled)]
        ends |= {(*who, source): end for source, end in zip(sources, found, strict=True)}
    keys = zip(frame["experiment"], frame["method"], frame["source"], strict=True)
    low, high = zip(*(ends[key] for key in keys), strict=True)
    return frame.assign(low=low, high=high)


def table(frame: pd.DataFrame, experiments: dict[str, dict]) -> pd.DataFrame:
    """One row an experiment, method and source, from the table `weights`.

    `weight`: mean share over seeds; `centre`, `low`, `high`: middle of the log odds and its 95 % interval, as shares; `rows_low`,
    `rows_high`: the same ends in rows of the mixture; `source_p`: that of the source alone, adjusted for all of them (Holm).
    The rest is the method's and stands on each of its rows: the test against equal weights, the rows of the mixture, how many of
    them would be of another source than with equal weights (with interval), between two seeds, and by chance, and whether the
    sampled set changes by more than either.
    """
    rows = []
    for (experiment, method), shares, sources, facts in _groups(frame, experiments):
        total, resampled = facts["rows"], bool(facts.get("validation_bootstrap"))
        smallest, equal = compositions.smallest_share(total), np.full(len(sources), 1 / len(sources))
        test = compositions.differs(shares, equal, smallest, resampled)
        change = compositions.sample_change(shares, equal, total, resampled)
        fixed = test.verdict == compositions.FIXED
        own = {
            "experiment": experiment,
            "method": method,
            "seeds": len(shares),
            "varied": "" if fixed else varied(facts),
        }
        own |= {"test": test.name, "p": test.p, "verdict": test.verdict, "rows": total}
        own |= {"rows_from_uniform": change.from_reference, "rows_from_uniform_low": change.low}
        own |= {"rows_from_uniform_high": change.high, "rows_between_seeds": change.between_seeds}
        own |= {"rows_by_chance": change.by_chance, "changes_sample": change.verdict}
        found = compositions.share_intervals(shares, smallest, resampled)
        alone = compositions.source_p_values(shares, equal, smallest, resampled)
        for place, source in enumerate(sources):
            centre, low, high, _ = found[place]
            row = {"source": source, "weight": shares[:, place].mean(), "centre": centre, "low": low, "high": high}
            row |= {"rows_low": low * total, "rows_high": high * total}
            rows.append(own | row | {"source_p": np.nan if fixed else alone[place]})
    return pd.DataFrame(rows, columns=COLUMNS)


def readable(frame: pd.DataFrame) -> Document:
    """Intervals of final weights, the test against equal ones, and what both mean for the rows drawn."""
    sections = []
    for experiment, part in frame.groupby("experiment", sort=False):
        seeds = ", ".join(dict.fromkeys(text for text in part["varied"] if text)) or "nothing"
        header = [
            "method",
            "from equal weights",
            "test",
            "changes the sample?",
            "seeds",
            "p",
            "rows changed",
            "95 % interval",
        ]
        header += ["between seeds", "by chance"]
        methods = [_of_method(method, lines.iloc[0]) for method, lines in part.groupby("method", sort=False)]
        sections.append((name(experiment), grid(header, methods, f"Seeds vary: {seeds}.", left=4)))
        columns = ["source", "method", "weight (mean)", "centre", "95 % interval", "in rows", "p (Holm)"]
        rows = [
            [
                name(row.source),
                name(row.method),
                number(row.weight),
                number(row.centre),
                span(row.low, row.high),
                span(row.rows_low, row.rows_high, 0),
                probability(row.source_p),
            ]
            for row in part.itertuples()
        ]
        sections.append((f"{name(experiment)}, source by source", grid(columns, rows, left=2, folded=True)))
    text = (
        "Intervals: Student t on log odds, log(p / (1 − p)), over seeds, mapped back to shares; centre: the middle of the log odds. "
        "Shares under half a row of the mixture are raised to it first. Where seeds vary the validation rows, the spread over "
        "seeds is not divided by their number, since the luck of the one validation set does not average out. "
        "From equal weights: Hotelling's T² on isometric log ratios with more seeds than sources, else a t-test a source with "
        "Holm's correction, the smallest p of which counts; under three seeds nothing is said. Rows changed: how many rows of the "
        "mixture are of another source than with equal weights (total variation × rows); by chance: how many would differ between "
        "two random draws with the same weights. It changes the sample (yes) where the interval lies above what seeds and what "
        "chance differ by."
    )
    return document("How sure the weights are", text, sections)


def _of_method(method: str, row: pd.Series) -> list[str]:
    return [
        name(method),
        row["verdict"],
        row["test"] or MISSING,
        row["changes_sample"],
        str(row["seeds"]),
        probability(row["p"]),
        f"{row['rows_from_uniform']:.0f} of {row['rows']:.0f}",
        span(row["rows_from_uniform_low"], row["rows_from_uniform_high"], 0),
        number(row["rows_between_seeds"], 0),
        number(row["rows_by_chance"], 0),
    ]
