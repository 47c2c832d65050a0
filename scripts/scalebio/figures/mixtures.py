"""What the drawn mixtures hold: the share asked for against the share drawn, in rows and in tokens, by source."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scalebio.figures import house

COLUMNS = ["experiment", "method", "seed", "source", "asked_share", "row_share", "token_share", "max_repeats"]
COLUMNS += ["rows", "capped_rows", "truncated"]
# Share → its name, colour, marker and look.
MARKS = {
    "asked_share": ("asked", house.DARK, "D", {"markerfacecolor": "none", "markersize": 6.5}),
    "row_share": ("drawn, rows", "#0072B2", "o", {"markersize": 4, "mew": 0}),
    "token_share": ("drawn, tokens", "#D55E00", "^", {"markersize": 4, "mew": 0}),
}
MOST_ACROSS = 3


def remark(facts: pd.Series) -> str:
    """What stands at the right of a source: its repeats, whether they were capped, and the share of its rows that were cut."""
    repeats = f"×{facts.max_repeats:.0f}{' (cap)' if facts.capped_rows else ''}" if facts.max_repeats > 1 else ""
    repeats = repeats or ("(cap)" if facts.capped_rows else "")
    cut = facts.truncated / facts.rows if facts.rows else 0
    return ", ".join(filter(None, [repeats, f"{'<1' if cut < 0.005 else f'{100 * cut:.0f}'} % cut" if cut else ""]))


def draw_panel(axes: Axes, rows: pd.DataFrame, sources: list[str], limit: float) -> None:
    """One method of one experiment, means over seeds; at the right `remark`."""
    over_seeds = dict.fromkeys(MARKS, "mean") | {"max_repeats": "max", "capped_rows": "max"}
    over_seeds |= dict.fromkeys(("rows", "truncated"), "sum")
    means = rows.groupby("source").agg(over_seeds).reindex(sources)
    for column, (_, colour, shape, look) in MARKS.items():
        axes.plot(means[column], range(len(sources)), shape, color=colour, clip_on=False, zorder=3, **look)
    for position, text in enumerate(means.apply(remark, axis=1)):
        if text:
            place = {"xycoords": axes.get_yaxis_transform(), "xytext": (3, 0), "textcoords": "offset points"}
            look = {"va": "center", "fontsize": 7, "color": house.MUTED, "annotation_clip": False}
            axes.annotate(text, (1, position), **place, **look)
    axes.tick_params(axis="y", length=0)
    axes.set(ylim=(len(sources) - 0.5, -0.5), xlim=(-0.03 * limit, limit))
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", visible=True)


def draw(table: pd.DataFrame, settings: dict) -> Figure:
    """One row of panels an experiment, one panel a method. Settings: study."""
    experiments = house.ordered(table["experiment"])
    blocks = []  # one a line of panels: experiment, its methods on this line, its sources
    for name in experiments:
        part = table[table["experiment"] == name]
        sources = house.ordered(part["source"])
        methods = house.ordered(part["method"])
        for first in range(0, len(methods), MOST_ACROSS):
            blocks.append((name, methods[first : first + MOST_ACROSS], sources))
    across = max(len(methods) for _, methods, _ in blocks)
    heights = [0.45 + 0.17 * len(sources) for _, _, sources in blocks]
    figure = Figure(figsize=(house.COLUMN if across == 1 else house.DOUBLE, sum(heights) + 0.2), layout="constrained")
    grid = figure.subplots(len(blocks), across, squeeze=False, height_ratios=heights)
    for line, (name, methods, sources) in zip(grid, blocks, strict=True):
        part = table[table["experiment"] == name]
        for axes, method in zip(line, methods, strict=False):
            draw_panel(axes, part[part["method"] == method], sources, min(1.04, 1.06 * part[list(MARKS)].max().max()))
            label = method if len(experiments) == 1 else f"{name}: {method}"
            house.panel_title(axes, label)
            axes.set_yticks(range(len(sources)), [house.short(source, 34) for source in sources])
            axes.yaxis.set_tick_params(labelleft=axes is line[0])
        for axes in line[len(methods) :]:
            axes.remove()
    for index in range(across):
        column = [line[index] for line in grid if line[index].figure is not None]
        column[-1].set_xlabel("share of the mixture")
    entries = [(house.marker(colour, shape, **look), label) for label, colour, shape, look in MARKS.values()]
    seeds = table["seed"].nunique()
    note = f"Means over {seeds} seeds." if seeds > 1 else "One seed."
    if (table["max_repeats"] > 1).any():
        note += " ×k: a row of this source stands in the mixture up to k times."
    if (table["capped_rows"] > 0).any():
        note += " (cap): max_repeat kept rows back, and the other sources gave them."
    if (table["truncated"] > 0).any():
        note += " cut: share of its rows cut at the model's max_length."
    title = f"{experiments[0]}: mixtures" if len(experiments) == 1 else "Mixtures"
    return house.finish(figure, settings, title, note, entries)
