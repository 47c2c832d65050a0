"""The table that holds methods against each other: what each gains over the baseline, how near it comes to what was planted,
and what it costs.

All methods of an experiment are followed by the same draw of rows and the same fine-tuning, so test losses compare at equal
training. Costs are tokens, so that they do not depend on the machine.
"""

from collections import defaultdict
from math import isnan, nan

import numpy as np
import pandas as pd

from scalebio import statistics
from scalebio.tables.readable import LOSS_UNIT, MISSING, Document, document, grid, name, number, span
from scalebio.tables.runs import Run

COLUMNS = ["experiment", "method", "seeds", "test_loss", "low", "high", "difference", "difference_low"]
COLUMNS += ["difference_high", "verdict", "gap_closed", "from_truth", "from_truth_low", "from_truth_high"]
COLUMNS += ["forward_tokens", "backward_tokens", "overhead"]


def table(
    weights: list[tuple[Run, dict]],
    metrics: list[tuple[Run, dict]],
    mixtures: list[tuple[Run, dict]],
    experiments: dict[str, dict],
    epochs: int,
) -> pd.DataFrame:
    """One row an experiment and method, over its seeds; empty where something is not known.

    `experiments`: {name: {"expected": planted shares or None, "baseline": method, "oracle": method or None}}; `epochs` of
    fine-tuning. `difference`: test loss minus the baseline's, paired by seed; `gap_closed`: share of the way from the
    baseline's mean test loss to the oracle's, not defined where the oracle is no better; `from_truth`: total variation between
    weights and planted shares; tokens: means over seeds; `overhead`: compute of weighting over that of fine-tuning, a token
    backward counting as two forward.
    """
    found = defaultdict(dict)
    for key, runs in (("weights", weights), ("metrics", metrics), ("mixture", mixtures)):
        for run, data in runs:
            found[run.experiment, run.method].setdefault(run.seed, {})[key] = data
    losses = {
        who: {seed: float(data["metrics"]["test_loss"]) for seed, data in seeds.items()} for who, seeds in found.items()
    }
    rows = []
    for (experiment, method), seeds in found.items():
        facts, own = experiments[experiment], losses[experiment, method]
        base = losses[experiment, facts["baseline"]]
        row = {"experiment": experiment, "method": method, "seeds": len(seeds)}
        row |= dict(zip(("test_loss", "low", "high"), statistics.mean_interval(list(own.values()))[:3], strict=True))
        row |= _gain(method, facts["baseline"], own, base)
        row["gap_closed"] = _closed(own, base, losses.get((experiment, facts["oracle"])))
        row |= from_truth([data["weights"]["weights"] for data in seeds.values()], facts["expected"])
        rows.append(row | _costs(seeds.values(), epochs))
    return pd.DataFrame(rows, columns=COLUMNS)


def _gain(method: str, baseline: str, own: dict[int, float], base: dict[int, float]) -> dict:
    if method == baseline or not set(own) & set(base):
        return {"difference": nan, "difference_low": nan, "difference_high": nan, "verdict": ""}
    gap = statistics.paired_difference(own, base)
    return {
        "difference": gap.mean,
        "difference_low": gap.low,
        "difference_high": gap.high,
        "verdict": gap.verdict,
    }


def _closed(own: dict[int, float], base: dict[int, float], best: dict[int, float] | None) -> float:
    if not best:
        return nan
    mean, start, end = (float(np.mean(list(group.values()))) for group in (own, base, best))
    return (start - mean) / (start - end) if start > end else nan


def from_truth(weights: list[dict[str, float]], expected: dict[str, float] | None) -> dict:
    """Total variation between weights and planted shares with its interval over seeds; NaN where nothing was planted."""
    names = ("from_truth", "from_truth_low", "from_truth_high")
    if not expected:
        return dict.fromkeys(names, nan)
    apart = [
        statistics.total_variation(
            np.array(list(found.values())), np.array([expected.get(source, 0.0) for source in found])
        )
        for found in weights
    ]
    return dict(zip(names, statistics.mean_interval(apart)[:3], strict=True))


def _costs(seeds, epochs: int) -> dict:
    costs = [data["weights"]["cost"] for data in seeds]
    forward, backward = (float(np.mean([cost[key] for cost in costs])) for key in ("forward_tokens", "backward_tokens"))
    trained = (
        np.mean([sum(facts["tokens"] for facts in data["mixture"]["sources"].values()) for data in seeds]) * epochs
    )
    return {
        "forward_tokens": forward,
        "backward_tokens": backward,
        "overhead": (forward + 2 * backward) / (3 * float(trained)),
    }


def readable(frame: pd.DataFrame) -> Document:
    """Every method of an experiment beside the others: gain, distance from the planted truth where one was planted, cost."""
    sections = []
    for experiment, part in frame.groupby("experiment", sort=False):
        oracle, planted = (bool(part[column].notna().any()) for column in ("gap_closed", "from_truth"))
        header = ["method", "test loss", "95 % interval", "difference", "95 % interval", "verdict"]
        header += ["gap closed"] * oracle + ["from truth", "95 % interval"] * planted + ["overhead", "seeds"]
        rows = [
            [
                name(row.method),
                number(row.test_loss),
                span(row.low, row.high),
                number(row.difference, sign=True),
                span(row.difference_low, row.difference_high, sign=True),
                row.verdict or MISSING,
                *[MISSING if isnan(row.gap_closed) else f"{row.gap_closed:.0%}"] * oracle,
                *[number(row.from_truth, 3), span(row.from_truth_low, row.from_truth_high, 3)] * planted,
                f"{row.overhead:.2g}",
                str(row.seeds),
            ]
            for row in part.itertuples()
        ]
        sections.append((name(experiment), grid(header, rows)))
    text = (
        f"All methods draw as many rows and train on them alike. Test loss in {LOSS_UNIT}; difference: to the baseline, the row "
        "without one, paired by seed; gap closed, where an oracle ran: share of the way from the baseline's mean to the oracle's; "
        "from truth, where shares were planted: total variation between them and the weights, 0 to 1. Overhead: compute of finding "
        "the weights over that of fine-tuning, in tokens, a token backward counting as two forward. Intervals: Student t over seeds."
    )
    return document("Methods compared", text, sections)
