"""MT-Bench scores by category and method with intervals; judge and origin of the questions stand in the figure."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scalebio.errors import UserError
from scalebio.figures import house

COLUMNS = ["experiment", "method", "seed", "category", "turn", "score", "low", "high", "judge", "questions"]
ALL, BOTH = "all", "both"  # as in scores.csv


def over_turns(rows: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The rows over both turns and their name, or those of the only turn there is; UserError where it is open."""
    turns = list(dict.fromkeys(rows["turn"]))
    if BOTH in turns:
        return rows[rows["turn"] == BOTH], "both turns"
    if len(turns) == 1:
        return rows, f"turn {turns[0]}"
    raise UserError(f"figure mtbench: the table has turns {', '.join(turns)} but no rows of turn {BOTH}.")


def provenance(rows: pd.DataFrame) -> str:
    """Judge and origin of the questions of one experiment, in words. Raises UserError where they are mixed."""
    judges, origins = list(dict.fromkeys(rows["judge"])), list(dict.fromkeys(rows["questions"]))
    if len(judges) > 1 or len(origins) > 1:
        raise UserError(
            f"figure mtbench: {rows['experiment'].iloc[0]} mixes judges ({'; '.join(judges)}) or questions "
            f"({'; '.join(origins)}); their scores are not comparable. Score all methods again with one judge."
        )
    return f"Judge: {judges[0]}. Questions: {origins[0]}."


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
    experiments = house.ordered(table["experiment"])
    origins = {name: provenance(table[table["experiment"] == name]) for name in experiments}
    rows, meaning = over_turns(table)
    styles = house.method_styles(house.ordered(rows["method"]))
    panels = {}
    for name in experiments:
        found = house.ordered(rows[rows["experiment"] == name]["category"])
        panels[name] = [category for category in found if category != ALL] + [ALL] * (ALL in found)
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
    one = len(set(origins.values())) == 1
    judged = origins[experiments[0]] if one else " ".join(f"{name}: {text}" for name, text in origins.items())
    seeds = rows.groupby(["experiment", "method"])["seed"].nunique()
    bars = (
        "mean and 95% t-interval over seeds" if seeds.min() > 1 else "score and 95% interval over questions, one seed"
    )
    if seeds.min() == 1 < seeds.max():
        bars = "mean and 95% t-interval over seeds; with one seed over questions"
    title = f"{experiments[0]}: score by category" if len(panels) == 1 else "Score by category"
    small = " Small marks: seeds." if seeds.max() > 1 else ""
    entries = [(house.marker(colour, shape), method) for method, (colour, shape) in styles.items()]
    return house.finish(figure, settings, title, f"{judged} Mark and bar: {bars}; {meaning}.{small}", entries)
