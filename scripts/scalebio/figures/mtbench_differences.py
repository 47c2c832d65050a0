"""Paired differences to the baseline by category with 95 % intervals, beside what this many questions could not show."""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from scalebio.errors import UserError
from scalebio.figures import house, judged
from scalebio.figures.judged import ALL
from scalebio.statistics import UNCLEAR

COLUMNS = ["experiment", "comparison", "method", "baseline", "seed", "category", "difference", "low", "high", "n"]
COLUMNS += ["smallest_visible", "verdict", "judge", "judge_note", "questions"]
TEXT = {"seed"}  # "all" stands among them
METHOD, NOISE = "method", "judge noise"  # as in differences.csv
BAND = "#dddddd"


def draw_row(axes: Axes, at: float, half: float, row: pd.Series, look: tuple[str, str], seeds: list[float]) -> None:
    """One comparison in one category at height `at`: band, interval, mark, and small marks for seeds."""
    colour, shape = look
    if not math.isnan(row["smallest_visible"]):
        width = 2 * row["smallest_visible"]
        axes.barh(at, width, left=-width / 2, height=2 * half, color=BAND, linewidth=0, zorder=1)
    if math.isnan(row["difference"]):
        return
    if not math.isnan(row["low"]):
        axes.plot([row["low"], row["high"]], [at] * 2, color=colour, linewidth=1.0, zorder=3)
    axes.plot(seeds, [at] * len(seeds), shape, color=colour, alpha=0.6, markersize=2.8, mew=0, zorder=4)
    face = "white" if row["verdict"] == UNCLEAR else colour
    axes.plot(row["difference"], at, shape, color=colour, markerfacecolor=face, markersize=4.5, mew=0.9, zorder=5)


def draw_panel(axes: Axes, rows: pd.DataFrame, categories: list[str], styles: dict[str, tuple[str, str]]) -> None:
    """One experiment: a line a category and, where answers were judged again, one for the judge against itself."""
    offsets = house.jitter(len(styles), min(0.58, 0.22 * len(styles)))
    half = 0.32 / max(len(styles), 2)
    for (method, look), offset in zip(styles.items(), offsets, strict=True):
        of_method = rows[(rows["comparison"] == METHOD) & (rows["method"] == method)]
        for position, category in enumerate(categories):
            here = of_method[of_method["category"] == category]
            for _, row in here[here["seed"] == ALL].iterrows():
                alone = here[here["seed"] != ALL]["difference"].dropna().tolist()
                draw_row(axes, position + offset, half, row, look, alone if len(alone) > 1 else [])
    names = ["all categories" if name == ALL else house.short(name) for name in categories]
    again = judged_again(rows)
    for _, row in again.iterrows():
        draw_row(axes, len(categories), half, row, (house.DARK, "|"), [])
        names.append("judge against itself")
    if ALL in categories[1:]:
        axes.axhline(len(categories) - 1.5, color=house.MUTED, linewidth=0.6)
    axes.axvline(0, color=house.DARK, linewidth=0.8, zorder=2)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.set(ylim=(len(names) - 0.5, -0.5))
    axes.use_sticky_edges = False  # a band that ends at the frame would look cut off
    axes.margins(x=0.04)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", visible=True)
    baseline = rows[rows["comparison"] == METHOD]["baseline"].iloc[0]
    axes.set_xlabel(f"score minus that of {house.short(baseline, 24)} (points)")


def judged_again(rows: pd.DataFrame) -> pd.DataFrame:
    """The judge against itself over all categories, where answers were judged more than once; no row otherwise."""
    return rows[(rows["comparison"] == NOISE) & (rows["category"] == ALL)].dropna(subset=["difference"])


def draw(table: pd.DataFrame, settings: dict) -> Figure:
    """One panel an experiment, one below the other. Settings: study. UserError where no method has a baseline."""
    compared = house.ordered(table[table["comparison"] == METHOD]["experiment"])
    if not compared:
        raise UserError("figure mtbench_differences: no experiment has a second method to compare with its baseline.")
    table = table[table["experiment"].isin(compared)]
    judge = judged.told(table)
    methods = table[table["comparison"] == METHOD]
    styles = house.method_styles(house.ordered(methods["method"]))
    panels = {name: table[table["experiment"] == name] for name in compared}
    categories = {name: judged.categories(rows[rows["comparison"] == METHOD]) for name, rows in panels.items()}
    heights = [
        0.55 + (len(categories[name]) + len(judged_again(rows))) * (0.14 + 0.11 * len(styles))
        for name, rows in panels.items()
    ]
    longest = max(len(house.short(category)) for found in categories.values() for category in found)
    width = house.COLUMN if longest <= 24 else house.DOUBLE
    figure = Figure(figsize=(width, sum(heights) + 0.1), layout="constrained")
    grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (name, rows) in zip(grid, panels.items(), strict=True):
        draw_panel(axes, rows, categories[name], styles)
        if len(panels) > 1:
            house.panel_title(axes, name)
    seeds = methods[methods["seed"] != ALL].groupby(["experiment", "method"])["seed"].nunique()
    drawn = " Bar: 95% interval over questions"
    drawn += f", mean over seeds; small marks: {house.several(seeds)} seeds." if seeds.max() > 1 else ", one seed."
    drawn += " Filled mark: better or worse; hollow: not distinguishable."
    again = [name for name, rows in panels.items() if len(judged_again(rows))]
    drawn += " Judge against itself: odd minus even repeats." * bool(again)
    drawn += " Judge noise unknown" + " elsewhere" * bool(again) + ": judged once." if len(again) < len(panels) else ""
    bare = methods[methods["seed"] == ALL].dropna(subset=["difference"])["low"].isna().any()
    drawn += " Too few questions have no bar." if bare else ""
    title = f"{compared[0]}: difference by category" if len(panels) == 1 else "Difference to the baseline by category"
    entries = [(house.marker(colour, shape), method) for method, (colour, shape) in styles.items()]
    entries.append((Patch(color=BAND, linewidth=0), "seen with < 80% power"))
    return house.finish(figure, settings, title, f"{judge}{drawn}{house.SCALES * (len(panels) > 1)}", entries)
