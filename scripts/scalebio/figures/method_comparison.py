"""Methods against each other: gain in test loss over the baseline, and distance from the planted truth, one row an experiment.

Beside each method's name stands what finding the weights cost, as a multiple of fine-tuning.
"""

from math import isnan

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from scalebio.figures import house

COLUMNS = ["experiment", "method", "seeds", "test_loss", "difference", "difference_low", "difference_high"]
COLUMNS += ["from_truth", "from_truth_low", "from_truth_high", "overhead"]


def multiple(overhead: float) -> str:
    """What weights cost, in words short enough for a label."""
    return "free" if overhead == 0 else f"{overhead:.2g}×"


def draw_panel(axes: Axes, rows: pd.DataFrame, value: str, styles: dict[str, tuple[str, str]]) -> None:
    """One quantity of one experiment: a line a method, with its interval where there is one."""
    for position, row in enumerate(rows.to_dict("records")):
        colour, shape = styles[row["method"]]
        if not isnan(row[value]):
            if not isnan(row[f"{value}_low"]):
                axes.plot([row[f"{value}_low"], row[f"{value}_high"]], [position] * 2, color=colour, linewidth=1.1)
            axes.plot(row[value], position, shape, color=colour, markersize=4.5, mew=0, zorder=4, clip_on=False)
    axes.set(ylim=(len(rows) - 0.5, -0.5))
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", visible=True)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(5))


def draw(table: pd.DataFrame, settings: dict) -> Figure:
    """One row of panels an experiment. Settings: study."""
    names = house.ordered(table["experiment"])
    styles = house.method_styles(house.ordered(table["method"]))
    parts = {name: table[table["experiment"] == name] for name in names}
    truth = bool(table["from_truth"].notna().any())
    heights = [0.35 + 0.17 * len(part) for part in parts.values()]
    width = house.DOUBLE if truth else house.COLUMN
    figure = Figure(figsize=(width, sum(heights) + 0.35), layout="constrained")
    grid = figure.subplots(len(names), 1 + truth, squeeze=False, height_ratios=heights, sharey="row")
    for (name, part), row in zip(parts.items(), grid, strict=True):
        draw_panel(row[0], part, "difference", styles)
        row[0].axvline(0, color=house.MUTED, linestyle="--", linewidth=0.8, zorder=1)
        labels = [f"{house.short(one.method, 24)} ({multiple(one.overhead)})" for one in part.itertuples()]
        row[0].set_yticks(range(len(part)), labels)
        if len(names) > 1:
            house.panel_title(row[0], name)
        if truth:
            draw_panel(row[1], part, "from_truth", styles)
            row[1].set_xlim(left=0)
    grid[-1][0].set_xlabel("test loss minus baseline's\n(nats per token; left is better)")
    if truth:
        grid[-1][1].set_xlabel("distance from planted shares\n(total variation; left is better)")
    seeds = table.groupby(["experiment", "method"])["seeds"].max()
    bars = f"Mean over {house.several(seeds)} seeds with 95% t-interval." if seeds.max() > 1 else "One seed."
    note = f"{bars} In brackets: compute of finding the weights, in multiples of fine-tuning."
    return house.finish(figure, settings, "Methods compared", note)
