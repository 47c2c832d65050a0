"""The scores as a radar: a spoke a category, a line a method; shapes are easy to compare, intervals are elsewhere."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.projections.polar import PolarAxes

from scalebio.figures import house, judged
from scalebio.figures.judged import ALL

COLUMNS = ["experiment", "method", "seed", "category", "turn", "score", "n", "failed", "cut"]
COLUMNS += ["judge", "judge_note", "questions"]
SIDE_BY_SIDE = 2


def draw_panel(axes: PolarAxes, rows: pd.DataFrame, styles: dict[str, tuple[str, str]]) -> None:
    """One experiment: categories clockwise from the top, a closed line a method; an unrated category leaves a gap."""
    spokes = [category for category in judged.categories(rows) if category != ALL] or [ALL]
    angles = np.linspace(0, 2 * np.pi, len(spokes), endpoint=False)
    for index, (method, (colour, shape)) in enumerate(styles.items()):
        means = rows[rows["method"] == method].groupby("category")["score"].mean().reindex(spokes)
        if means.isna().all():
            continue
        closed = [*range(len(spokes)), 0]
        look = {"color": colour, "linestyle": house.DASHES[index % len(house.DASHES)], "marker": shape}
        axes.plot(angles[closed], means.to_numpy()[closed], **look, linewidth=1.2, markersize=3.5, mew=0, zorder=3)
    axes.set_theta_zero_location("N")
    axes.set_theta_direction(-1)
    axes.set_ylim(0, 10)
    rings = [2, 4, 6, 8, 10]
    axes.set_yticks(rings, [""] * len(rings))
    # Between two spokes, where no mark lies, and above the lines, which would cross the numbers out.
    halo = [withStroke(linewidth=1.5, foreground="white")]
    small = {"fontsize": house.NOTE_SIZE, "color": house.MUTED, "ha": "center", "va": "center", "zorder": 5}
    for ring in rings:
        axes.text(np.pi / len(spokes), ring, str(ring), path_effects=halo, **small)
    names = ["all categories" if name == ALL else house.short(name, 32) for name in spokes]
    # Two short lines leave the radar more room than a long one.
    names = ["\n".join(textwrap.wrap(name, 16, break_long_words=False)) for name in names]
    axes.set_xticks(angles, names)
    for label, angle in zip(axes.get_xticklabels(), angles, strict=True):
        across = np.sin(angle)
        label.set_horizontalalignment("center" if abs(across) < 0.1 else "left" if across > 0 else "right")
    axes.tick_params(axis="x", pad=1)
    axes.grid(axis="both", visible=True)
    axes.spines["polar"].set_visible(False)


def draw(table: pd.DataFrame, settings: dict) -> Figure:
    """One panel an experiment, two side by side; each has one judge and one set of questions. Settings: study."""
    judge = judged.told(table)
    rows, meaning = judged.over_turns(table)
    styles = house.method_styles(house.ordered(rows["method"]))
    names = house.ordered(rows["experiment"])
    across = min(len(names), SIDE_BY_SIDE)
    down = -(-len(names) // across)
    width = house.COLUMN if across == 1 else house.DOUBLE
    figure = Figure(figsize=(width, 2.4 * down), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False, subplot_kw={"projection": "polar"}).ravel()
    for axes, name in zip(grid, names, strict=False):
        draw_panel(axes, rows[rows["experiment"] == name], styles)
        if len(names) > 1:
            house.panel_title(axes, name)
    for axes in grid[len(names) :]:
        axes.remove()
    seeds = rows.groupby(["experiment", "method"])["seed"].nunique()
    over = f"mean over {house.several(seeds)} seeds" if seeds.max() > 1 else "one seed"
    drawn = f" Line: {over}; {meaning}; centre 0, rim 10; no intervals here."
    title = f"{names[0]}: score by category (1 to 10)" if len(names) == 1 else "Score by category (1 to 10)"
    entries = [
        (Line2D([], [], color=c, marker=m, markersize=3.5, linestyle=house.DASHES[i % len(house.DASHES)]), method)
        for i, (method, (c, m)) in enumerate(styles.items())
    ]
    return house.finish(figure, settings, title, f"{judge}{drawn}{judged.left_out(rows)}", entries)
