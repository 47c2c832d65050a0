"""The table of ablations: runs that differ from a centre in one setting, of the method or of the model, and what that changes.

Which runs these are is derived from the study (`varied.py`).
"""

from collections import defaultdict
from math import nan

import numpy as np
import pandas as pd

from scalebio import statistics
from scalebio.tables.comparison import from_truth
from scalebio.tables.readable import LOSS_UNIT, MISSING, Document, document, grid, name, number, span
from scalebio.tables.runs import Run

COLUMNS = [
    "experiment",
    "method",
    "varied",
    "value",
    "is_centre",
    "seeds",
    "from_truth",
    "from_truth_low",
    "from_truth_high",
]
COLUMNS += ["on_needed", "test_loss", "low", "high", "difference", "difference_low", "difference_high"]


def table(
    weights: list[tuple[Run, dict]],
    metrics: list[tuple[Run, dict]],
    variations: list[dict],
    experiments: dict[str, dict],
) -> pd.DataFrame:
    """One row a variation, its centre among them; empty where nothing was planted.

    `variations`: {"experiment", "method" of the centre, "varied": setting, "value", "centre": whether this is the centre,
    "run": {"experiment", "method"} it was made by}; `experiments`: {name: {"expected": planted shares or None}}.
    `from_truth`: total variation between weights and planted shares; `on_needed`: mean weight on sources that should get
    any; `difference`: test loss minus the centre's, paired by seed (nats per answer token); intervals: t over seeds.
    """
    learned, losses = defaultdict(dict), defaultdict(dict)
    for run, data in weights:
        learned[run.experiment, run.method][run.seed] = data["weights"]
    for run, data in metrics:
        losses[run.experiment, run.method][run.seed] = float(data["test_loss"])
    rows = []
    for one in variations:
        run = one["run"]["experiment"], one["run"]["method"]
        expected = experiments[one["experiment"]]["expected"]
        own, centre = losses[run], losses[one["experiment"], one["method"]]
        row = {key: one[key] for key in ("experiment", "method", "varied", "value")}
        row |= {"is_centre": "yes" if one["centre"] else "", "seeds": len(own)}
        row |= from_truth(list(learned[run].values()), expected) | {"on_needed": _on_needed(learned[run], expected)}
        row |= dict(zip(("test_loss", "low", "high"), statistics.mean_interval(list(own.values()))[:3], strict=True))
        gap = (nan, nan, nan)
        if not one["centre"] and set(own) & set(centre):
            gap = statistics.paired_difference(own, centre)[:3]
        rows.append(row | dict(zip(("difference", "difference_low", "difference_high"), gap, strict=True)))
    return pd.DataFrame(rows, columns=COLUMNS)


def _on_needed(learned: dict[int, dict[str, float]], expected: dict[str, float] | None) -> float:
    if not expected:
        return nan
    return float(np.mean([sum(found[source] for source in expected if expected[source]) for found in learned.values()]))


def readable(frame: pd.DataFrame) -> Document:
    """A section an experiment and varied setting."""
    header = ["value", "distance from truth", "95 % interval", "on needed sources", "test loss", "95 % interval"]
    header += ["minus the centre's", "95 % interval", "seeds"]
    sections = []
    for (experiment, varied), part in frame.groupby(["experiment", "varied"], sort=False):
        rows = [
            [
                f"{name(row.value)}{' (centre)' if row.is_centre else ''}",
                number(row.from_truth, 3),
                span(row.from_truth_low, row.from_truth_high, 3),
                MISSING if pd.isna(row.on_needed) else f"{row.on_needed:.1%}",
                number(row.test_loss),
                span(row.low, row.high),
                number(row.difference, sign=True),
                span(row.difference_low, row.difference_high, sign=True),
                str(row.seeds),
            ]
            for row in part.itertuples()
        ]
        sections.append((f"{name(experiment)}: {name(varied)}", grid(header, rows)))
    text = (
        "Each line differs from the centre in the one setting that its section names. Distance from truth: total variation "
        "between weights and planted shares, 0 to 1; on needed sources: mean weight on those that should get any. Test loss in "
        f"{LOSS_UNIT}, its difference paired by seed. Intervals: Student t over seeds."
    )
    return document("Ablations", text, sections)
