"""Planted tasks: how far every method's weights are from the planted shares, and what that costs in test loss."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scalebio.figures import house

COLUMNS = ["task", "base", "method", "seed", "tv", "regret"]
BAR = 0.05
PANELS = {"tv": "total variation to planted shares", "regret": "regret (share of the gap to equal weights)"}


def styles(methods: list[str]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each method; the loop as published is blue, as `scalebio` is elsewhere."""
    return house.method_styles(["scalebio" if method == "published" else method for method in methods])


def draw_panel(axes: Axes, rows: pd.DataFrame, value: str, tasks: list[str], methods: list[str]) -> None:
    """One line a task, a point a seed, a tick at the mean; a solid line where the bar is."""
    axes.axvline(BAR, color=house.DARK, linewidth=0.8, zorder=1)
    look = styles(methods)
    offsets = house.jitter(len(methods), 0.66)
    for method, offset in zip(methods, offsets, strict=True):
        colour, shape = look["scalebio" if method == "published" else method]
        for position, task in enumerate(tasks):
            values = rows[(rows["method"] == method) & (rows["label"] == task)][value].dropna()
            if values.empty:
                continue
            at = position + offset
            axes.plot(values, [at] * len(values), shape, color=colour, alpha=0.65, markersize=3.5, mew=0, zorder=4)
            axes.plot([values.mean()] * 2, [at - 0.09, at + 0.09], color=colour, linewidth=1.5, zorder=3)
    for position in range(1, len(tasks)):
        axes.axhline(position - 0.5, color=house.MUTED, linewidth=0.4, alpha=0.4)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", visible=True)
    axes.set_xscale("symlog", linthresh=0.1)
    ticks = [0, 0.05, 0.1, 0.5, 1] if value == "tv" else [-0.1, 0, 0.05, 0.1, 0.5, 1]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlim(min(-0.04, rows[value].min() - 0.02), 1.3)
    axes.set_yticks(range(len(tasks)), tasks)
    axes.tick_params(axis="y", length=0)
    axes.set(ylim=(len(tasks) - 0.5, -0.5), xlabel=PANELS[value])


def draw(table: pd.DataFrame, settings: dict) -> Figure:
    """Two panels, one for each yardstick; tasks without a trained model have no regret. Settings: study, optional."""
    several = table.groupby("task")["base"].nunique() > 1
    rows = table.assign(
        label=[
            f"{task}, {base}" if several[task] else task
            for task, base in zip(table["task"], table["base"], strict=True)
        ]
    )
    tasks, methods = house.ordered(rows["label"]), house.ordered(rows["method"])
    with_regret = [task for task in tasks if rows[rows["label"] == task]["regret"].notna().any()]
    figure = Figure(figsize=(house.DOUBLE, 0.5 + 0.42 * len(tasks)), layout="constrained")
    left, right = figure.subplots(1, 2, squeeze=False)[0]
    draw_panel(left, rows, "tv", tasks, methods)
    draw_panel(right, rows, "regret", with_regret, methods)
    look = styles(methods)
    entries = [
        (house.marker(*look["scalebio" if method == "published" else method], alpha=0.8), method) for method in methods
    ]
    note = f"Points: {rows['seed'].nunique()} seeds; tick: their mean; line: {BAR:g}. Scale linear up to 0.1, then logarithmic."
    return house.finish(figure, settings, "Planted tasks: distance from the right weights", note, entries)
