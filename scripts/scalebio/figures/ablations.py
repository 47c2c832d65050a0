"""Ablations: what one setting changes, a column a setting, an experiment a colour.

Above: distance from the planted shares; below: test loss minus the centre's, so that experiments share a scale. Values stand
side by side at equal distances, because rates and penalties go by factors; the centre is ringed.
"""

from math import isnan

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from scalebio.figures import house

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
COLUMNS += ["difference", "difference_low", "difference_high"]
TEXT = {"value"}
MARKERS = "o^sDvPX"


def places(values: pd.Series) -> list[str]:
    """The distinct values in rising order, text last."""
    known = pd.to_numeric(values, errors="coerce")
    return list(dict.fromkeys(values[known.sort_values(kind="stable").index]))


def draw_lines(axes: Axes, rows: pd.DataFrame, value: str, at: dict[str, int], looks: dict) -> None:
    """One quantity of one setting: a line an experiment, with intervals over seeds."""
    offsets = dict(zip(looks, house.jitter(len(looks), 0.24 if len(looks) > 1 else 0), strict=True))
    for experiment, part in rows.groupby("experiment", sort=False):
        colour, shape = looks[experiment]
        part = part[part[value].notna()]
        x = [at[entry] + offsets[experiment] for entry in part["value"]]
        axes.plot(x, part[value], color=colour, marker=shape, markersize=3.5, mew=0, linewidth=1.0, zorder=3)
        for place, row in zip(x, part.to_dict("records"), strict=True):
            if not isnan(row[f"{value}_low"]):
                axes.plot(
                    [place] * 2, [row[f"{value}_low"], row[f"{value}_high"]], color=colour, linewidth=0.9, zorder=2
                )
            if row["is_centre"]:
                axes.plot(
                    place,
                    row[value],
                    "o",
                    color=colour,
                    markersize=8,
                    markerfacecolor="none",
                    mew=0.8,
                    zorder=4,
                    clip_on=False,
                )
    axes.set_xlim(-0.5, len(at) - 0.5)


def label(varied: str) -> str:
    """A setting in words short enough for a panel."""
    words = {
        "alpha": "penalty α",
        "weight_learning_rate": "learning rate of λ",
        "learning_rate": "learning rate of u, w",
    }
    words |= {"model lisa.layers": "LISA's layers"}
    return words.get(varied, varied.replace("_", " "))


def draw(table: pd.DataFrame, settings: dict) -> Figure:
    """Settings: study."""
    # The centre has no difference to itself: it lies at zero.
    table = table.assign(difference=table["difference"].where(table["is_centre"] != "yes", 0.0))
    experiments, varied = house.ordered(table["experiment"]), house.ordered(table["varied"])
    cycle = [(colour, MARKERS[place % len(MARKERS)]) for place, colour in enumerate(house.PALETTE)]
    looks = {name: cycle[place % len(cycle)] for place, name in enumerate(experiments)}
    truth = bool(table["from_truth"].notna().any())
    quantities = ["from_truth", "difference"] if truth else ["difference"]
    figure = Figure(figsize=(house.DOUBLE, 1.45 * len(quantities) + 0.2), layout="constrained")
    grid = figure.subplots(len(quantities), len(varied), squeeze=False, sharey="row", sharex="col")
    for column, setting in enumerate(varied):
        rows = table[table["varied"] == setting]
        at = {value: place for place, value in enumerate(places(rows["value"]))}
        for line, value in enumerate(quantities):
            draw_lines(grid[line][column], rows, value, at, looks)
        grid[0][column].set_title(house.short(label(setting), 26))
        grid[-1][column].set_xticks(range(len(at)), [house.short(value, 10) for value in at])
    names = {"from_truth": "distance from\nplanted shares", "difference": "test loss minus\nthe centre's (nats)"}
    for line, value in enumerate(quantities):
        grid[line][0].set_ylabel(names[value])
        for axes in grid[line] if value == "difference" else []:
            axes.axhline(0, color=house.MUTED, linestyle="--", linewidth=0.8, zorder=1)
    if truth:
        # The truth itself is 0; a little room keeps marks there whole.
        top = grid[0][0].get_ylim()[1]
        grid[0][0].set_ylim(-0.04 * top, top)
    entries = [
        (Line2D([], [], color=colour, marker=shape, markersize=3.5), name) for name, (colour, shape) in looks.items()
    ]
    entries.append((house.marker(house.MUTED, "o", markerfacecolor="none", markersize=7), "centre"))
    seeds = table["seeds"]
    bars = f"Mean over {house.several(seeds)} seeds with 95% t-interval." if seeds.max() > 1 else "One seed."
    note = (
        f"{bars} Test loss in nats per token, paired by seed with the centre's." + " Distance: total variation." * truth
    )
    return house.finish(figure, settings, "What one setting changes", note, entries)
