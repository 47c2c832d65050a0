"""The score against how often the judge rated the same answers: how little, or how much, repeats change."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.special import ndtri

from scalebio.figures import house, judged
from scalebio.figures.judged import ALL

COLUMNS = ["experiment", "method", "seed", "repeats", "score", "low", "high", "judge_sd", "n", "failed"]
COLUMNS += ["judge", "judge_note", "questions"]
TEXT = {"seed"}  # "all" stands among them
TWO_SIDED = ndtri(0.975)


def draw_panel(axes: Axes, rows: pd.DataFrame, styles: dict[str, tuple[str, str]]) -> None:
    """One experiment: a line a method, each a little aside, so that bars do not hide each other."""
    for (method, (colour, shape)), aside in zip(
        styles.items(), house.jitter(len(styles), min(0.5, 0.2 * len(styles))), strict=True
    ):
        part = rows[rows["method"] == method].dropna(subset=["score"]).sort_values("repeats")
        at, score = part["repeats"] + aside, part["score"]
        alone = TWO_SIDED * part["judge_sd"]
        axes.vlines(at, part["low"], part["high"], color=colour, linewidth=0.8, zorder=2)
        axes.vlines(at, score - alone, score + alone, color=colour, linewidth=7, alpha=0.35, zorder=2)
        axes.plot(at, score, color=colour, marker=shape, linewidth=1.0, markersize=3.5, mew=0, zorder=3)
    last = int(rows["repeats"].max())
    step = max(1, last // 8)
    axes.set(xlim=(0.5, last + 0.5), xticks=np.arange(1, last + 1, step), xlabel="times judged")
    axes.margins(y=0.12)


def draw(table: pd.DataFrame, settings: dict) -> Figure:
    """One panel an experiment, side by side. Settings: study."""
    judge = judged.told(table)
    rows = table[table["seed"] == ALL]
    names = house.ordered(rows["experiment"])
    styles = house.method_styles(house.ordered(rows["method"]))
    figure, grid = house.panels(len(names), 1, 1.9)
    for index, (name, (axes,)) in enumerate(zip(names, grid, strict=True)):
        draw_panel(axes, rows[rows["experiment"] == name], styles)
        if index % 3 == 0:
            axes.set_ylabel("score (1 to 10)")
        if len(names) > 1:
            house.panel_title(axes, name)
    seeds = table[table["seed"] != ALL].groupby(["experiment", "method"])["seed"].nunique()
    over = f"mean over {house.several(seeds)} seeds, " if seeds.max() > 1 else "one seed, "
    drawn = f" Mark: {over}all categories, both turns. Thin bar: 95% interval over questions."
    again = bool(rows["judge_sd"].notna().any())
    drawn += " Pale bar: what the judge alone adds (95%)." if again else " Judge noise unknown: judged once."
    last = rows[rows["repeats"] == rows.groupby("experiment")["repeats"].transform("max")]
    failed = int(last["failed"].sum())
    drawn += f" {failed} of {int(last['n'].sum()) + failed} ratings unreadable, in no mean." if failed else ""
    title = f"{names[0]}: score by judge repeats" if len(names) == 1 else "Score by judge repeats"
    entries = [(Line2D([], [], color=c, marker=m, markersize=3.5), method) for method, (c, m) in styles.items()]
    return house.finish(figure, settings, title, f"{judge}{drawn}{house.SCALES * (len(names) > 1)}", entries)
