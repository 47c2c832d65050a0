"""Accuracy on GSM8K and MATH by method with 95 % intervals, one panel an experiment, one below the other."""

from math import isnan

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scalebio.figures import house

COLUMNS = ["experiment", "method", "seed", "benchmark", "grouping", "accuracy", "low", "high", "n", "unparsed"]
ALL = "all"  # as in scores.csv
TITLES = {"gsm8k": "GSM8K", "math": "MATH"}


def draw_panel(axes: Axes, rows: pd.DataFrame, benchmarks: list[str], styles: dict[str, tuple[str, str]]) -> None:
    """One experiment: a line a benchmark, a mark a method; small marks are seeds."""
    offsets = house.jitter(len(styles), min(0.7, 0.2 * len(styles)))
    for (method, (colour, shape)), offset in zip(styles.items(), offsets, strict=True):
        for position, benchmark in enumerate(benchmarks):
            part = rows[(rows["method"] == method) & (rows["benchmark"] == benchmark)]
            if part.empty:
                continue
            interval = house.statistics.mean_interval((100 * part["accuracy"]).tolist())
            low, high = (100 * part[["low", "high"]].iloc[0]) if len(part) == 1 else interval[1:3]
            at = position + offset
            if not isnan(low):
                # A t-interval knows nothing of the ends of the scale.
                axes.plot([max(0.0, low), min(100.0, high)], [at] * 2, color=colour, linewidth=1.0, zorder=2)
            axes.plot(interval.mean, at, shape, color=colour, markersize=4.5, mew=0, zorder=4, clip_on=False)
            if len(part) > 1:
                dots = {"color": colour, "alpha": 0.6, "markersize": 2.8, "mew": 0, "zorder": 3, "clip_on": False}
                axes.plot(100 * part["accuracy"], [at] * len(part), shape, **dots)
    axes.set_yticks(range(len(benchmarks)), [TITLES.get(name, name) for name in benchmarks])
    axes.tick_params(axis="y", length=0)
    axes.set(ylim=(len(benchmarks) - 0.5, -0.5), xlim=(0, 100))
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", visible=True)


def draw(table: pd.DataFrame, settings: dict) -> Figure:
    """One panel an experiment. Settings: study."""
    rows = table[table["grouping"] == ALL]
    styles = house.method_styles(house.ordered(rows["method"]))
    names = house.ordered(rows["experiment"])
    panels = {name: house.ordered(rows[rows["experiment"] == name]["benchmark"]) for name in names}
    heights = [0.4 + len(found) * (0.14 + 0.11 * len(styles)) for found in panels.values()]
    figure = Figure(figsize=(house.COLUMN, sum(heights) + 0.1), layout="constrained")
    grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (name, benchmarks) in zip(grid, panels.items(), strict=True):
        draw_panel(axes, rows[rows["experiment"] == name], benchmarks, styles)
        if len(panels) > 1:
            house.panel_title(axes, name)
    grid[-1].set_xlabel("right answers (%)")
    seeds = rows.groupby(["experiment", "method"])["seed"].nunique()
    bars = "mean and 95% t-interval over seeds" if seeds.min() > 1 else "accuracy and 95% Wilson interval, one seed"
    if seeds.min() == 1 < seeds.max():
        bars = "mean and 95% t-interval over seeds; with one seed Wilson interval"
    unparsed, asked = int(rows["unparsed"].sum()), int(rows["n"].sum())
    note = f"Mark and bar: {bars}.{' Small marks: seeds.' if seeds.max() > 1 else ''}"
    note += f" {unparsed} of {asked} answers could not be compared and count as wrong." if unparsed else ""
    counts = rows.drop_duplicates(["experiment", "benchmark"]).groupby("benchmark", sort=False)["n"]
    asks = ", ".join(f"{TITLES.get(name, name)} {house.several(part.astype(int))}" for name, part in counts)
    title = f"{names[0]}: accuracy on mathematics" if len(panels) == 1 else "Accuracy on mathematics"
    entries = [(house.marker(colour, shape), method) for method, (colour, shape) in styles.items()]
    return house.finish(figure, settings, title, f"Questions: {asks}. {note}", entries)
