"""Final weights of the same sources by model: a group of bars a source, a bar a model, a panel for each set of sources.
Thin lines are 95 % intervals over seeds, from the table.

The paper says that optimal weights differ strongly between models; this is where one sees whether they do.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from scalebio.figures import house

COLUMNS = ["experiment", "method", "seed", "source", "weight", "low", "high", "expected"]
BAR = 0.13  # inches
PLANTED = {"color": house.DARK, "linewidth": 1.6}


def draw(table: pd.DataFrame, settings: dict) -> Figure:
    """Settings: study, and groups: [[{"experiment", "model", "method"}, ...], ...], each on the same sources."""
    groups = settings["groups"]
    models = house.ordered(one["model"] for group in groups for one in group)
    colours = {model: house.PALETTE[place % len(house.PALETTE)] for place, model in enumerate(models)}
    sources = [house.ordered(table[table["experiment"] == group[0]["experiment"]]["source"]) for group in groups]
    heights = [0.35 + len(names) * (0.1 + BAR * len(group)) for names, group in zip(sources, groups, strict=True)]
    figure = Figure(figsize=(house.DOUBLE, sum(heights) + 0.25), layout="constrained")
    panels = figure.subplots(len(groups), 1, squeeze=False, height_ratios=heights)[:, 0]
    expected = False
    for axes, group, names in zip(panels, groups, sources, strict=True):
        height = 0.8 / len(group)
        truth = (
            table[table["experiment"] == group[0]["experiment"]]
            .drop_duplicates("source")
            .set_index("source")["expected"]
        )
        for place, one in enumerate(group):
            part = table[(table["experiment"] == one["experiment"]) & (table["method"] == one["method"])]
            ends = {"mean": ("weight", "mean"), "low": ("low", "first"), "high": ("high", "first")}
            weights = part.groupby("source").agg(**ends).loc[names]
            at = np.arange(len(names)) - 0.4 + height * (place + 0.5)
            axes.barh(at, weights["mean"], 0.9 * height, color=colours[one["model"]], zorder=2)
            if part["seed"].nunique() > 1:
                axes.hlines(at, weights["low"], weights["high"], color=house.DARK, linewidth=0.9, zorder=3)
        if truth.notna().any():
            expected = True
            axes.vlines(truth[names], np.arange(len(names)) - 0.45, np.arange(len(names)) + 0.45, **PLANTED, zorder=4)
        axes.axvline(1 / len(names), color=house.MUTED, linestyle="--", linewidth=0.8, zorder=1)
        axes.set_yticks(range(len(names)), [house.short(name, 34) for name in names])
        axes.set(ylim=(len(names) - 0.5, -0.5), xlim=(0, None))
        axes.grid(axis="y", visible=False)
        axes.grid(axis="x", visible=True)
        axes.tick_params(axis="y", length=0)
        if len(groups) > 1:
            house.panel_title(axes, ", ".join(dict.fromkeys(one["experiment"] for one in group)))
    panels[-1].set_xlabel("final weight (share)")
    entries = [(Patch(color=colour), model) for model, colour in colours.items()]
    if expected:
        entries.append((Line2D([], [], **PLANTED), "expected"))
    seeds = table.groupby(["experiment", "method"])["seed"].nunique()
    bars = f"Mean over {house.several(seeds)} seeds, thin line: 95% interval." if seeds.max() > 1 else "One seed."
    methods = ", ".join(dict.fromkeys(one["method"] for group in groups for one in group))
    note = f"{bars} Dashed: all equal. Method: {methods}."
    return house.finish(figure, settings, "Final weights by model", note, entries)
