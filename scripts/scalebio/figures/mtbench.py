"""MT-Bench scores by category and method with intervals; judge and origin of the questions stand in the figure."""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scalebio.figures import house, judged
from scalebio.figures.judged import ALL

COLUMNS = ["experiment", "method", "seed", "category", "turn", "score", "low", "high", "n", "failed", "cut"]
COLUMNS += ["judge", "judge_note", "questions"]


def draw_panel(axes: Axes, rows: pd.DataFrame, categories: list[str], styles: dict[str, tuple[str, str]]) -> None:
    """One experiment: a line a category, a mark a method; small marks are seeds."""
    offsets = house.jitter(len(styles), min(0.7, 0.2 * len(styles)))
    for (method, (colour, shape)), offset in zip(styles.items(), offsets, strict=True):
        for position, category in enumerate(categories):
            part = rows[(rows["method"] == method) & (rows["category"] == category)].dropna(subset=["score"])
            if part.empty:
                continue
            interval = house.statistics.mean_interval(part["score"].tolist())
            low, high = (part["low"].iloc[0], part["high"].iloc[0]) if len(part) == 1 else interval[1:3]
            at = [position + offset] * 2
            if not math.isnan(low):
                # Scores end at 1 and 10, and so does what an interval can say.
                axes.plot([max(1.0, low), min(10.0, high)], at, color=colour, linewidth=1.0, zorder=2)
            axes.plot(interval.mean, at[0], shape, color=colour, markersize=4.5, mew=0, zorder=4, clip_on=False)
            if len(part) > 1:
                dots = {"color": colour, "alpha": 0.6, "markersize": 2.8, "mew": 0, "zorder": 3, "clip_on": False}
                axes.plot(part["score"], at[:1] * len(part), shape, **dots)
    if ALL in categories[1:]:
        axes.axhline(len(categories) - 1.5, color=house.MUTED, linewidth=0.6)
    names = ["all categories" if name == ALL else house.short(name) for name in categories]
    axes.set_yticks(range(len(categories)), names)
    axes.tick_params(axis="y", length=0)
    axes.set(ylim=(len(categories) - 0.5, -0.5), xlim=(1, 10), xticks=range(1, 11))
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", visible=True)


def draw(table: pd.DataFrame, settings: dict) -> Figure:
    """One panel an experiment, one below the other; each has one judge and one set of questions. Settings: study."""
    judge = judged.told(table)
    rows, meaning = judged.over_turns(table)
    styles = house.method_styles(house.ordered(rows["method"]))
    names = house.ordered(table["experiment"])
    panels = {name: judged.categories(rows[rows["experiment"] == name]) for name in names}
    heights = [0.35 + len(found) * (0.14 + 0.09 * len(styles)) for found in panels.values()]
    longest = max(len(house.short(category)) for found in panels.values() for category in found)
    width = house.COLUMN if longest <= 24 else house.DOUBLE
    figure = Figure(figsize=(width, sum(heights) + 0.1), layout="constrained")
    grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (name, categories) in zip(grid, panels.items(), strict=True):
        draw_panel(axes, rows[rows["experiment"] == name], categories, styles)
        if len(panels) > 1:
            house.panel_title(axes, name)
    grid[-1].set_xlabel("score (1 to 10)")
    seeds = rows.groupby(["experiment", "method"])["seed"].nunique()
    bars = (
        "mean and 95% t-interval over seeds" if seeds.min() > 1 else "score and 95% interval over questions, one seed"
    )
    if seeds.min() == 1 < seeds.max():
        bars = "mean and 95% t-interval over seeds; with one seed over questions"
    bare = seeds.min() == 1 and bool(rows.dropna(subset=["score"])["low"].isna().any())
    title = f"{names[0]}: score by category" if len(panels) == 1 else "Score by category"
    drawn = f" Mark and bar: {bars}; {meaning}.{' Small marks: seeds.' if seeds.max() > 1 else ''}"
    drawn += " Too few questions have no bar." if bare else ""
    entries = [(house.marker(colour, shape), method) for method, (colour, shape) in styles.items()]
    return house.finish(figure, settings, title, f"{judge}{drawn}{judged.left_out(rows)}", entries)
