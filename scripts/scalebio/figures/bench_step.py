"""What one outer step costs, from the released code to ours, one idea at a time: time and memory as ratios, a row a shape."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scalebio.figures import house

COLUMNS = ["shape", "variant", "cpu_seconds", "peak_mb", "time_ratio", "memory_ratio"]
QUANTITIES = {"time_ratio": "CPU time of a step", "memory_ratio": "peak memory above imports"}
# The row that trains fewer parameters than the others stands apart.
APART = "scalebio_frozen_embeddings"


def colour(variant: str) -> str:
    """Grey for the released step, blue for ours, light blue between, orange for the one that trains less."""
    fixed = {"released": "#666666", "scalebio": house.PALETTE[0], APART: house.PALETTE[1]}
    return fixed.get(variant, house.PALETTE[5])


def draw_panel(axes: Axes, rows: pd.DataFrame, quantity: str, names: bool) -> None:
    """One quantity of one shape as bars from above to below, each with its value and what it is measured in."""
    unit, form = ("s", "{:.2f}") if quantity == "time_ratio" else ("MB", "{:.0f}")
    absolute = rows["cpu_seconds"] if quantity == "time_ratio" else rows["peak_mb"]
    for place, (variant, ratio, value) in enumerate(zip(rows["variant"], rows[quantity], absolute, strict=True)):
        axes.barh(place, ratio, 0.66, color=colour(variant))
        text = f"{ratio:.2f}  ({form.format(value)} {unit})"
        axes.annotate(text, (ratio, place), (3, 0), textcoords="offset points", va="center", fontsize=6.5)
    axes.set_yticks(range(len(rows)), rows["label"] if names else [""] * len(rows))
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, 1.45 * max(1, rows[quantity].max()))
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="x")
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"{QUANTITIES[quantity]}, released = 1")


def draw(table: pd.DataFrame, settings: dict) -> Figure:
    """Shapes below each other, time left and memory right; `settings["about"]` gives a short text for each variant."""
    shapes = house.ordered(table["shape"])
    table = table.assign(label=table["variant"].map(lambda variant: settings["about"].get(variant, variant)))
    counts = [int((table["shape"] == shape).sum()) for shape in shapes]
    figure = Figure(figsize=(house.DOUBLE, sum(0.55 + 0.19 * count for count in counts)), layout="constrained")
    grid = figure.subplots(len(shapes), 2, squeeze=False, gridspec_kw={"height_ratios": [c + 2 for c in counts]})
    for row, shape in enumerate(shapes):
        rows = table[table["shape"] == shape]
        for column, quantity in enumerate(QUANTITIES):
            draw_panel(grid[row][column], rows, quantity, names=column == 0)
        grid[row][0].set_title(f"{settings['shapes'].get(shape, shape)}")
    note = (
        "Every bar has all ideas of the bars above it and trains the same parameters (two layers, embeddings, head), except "
        "the orange one, which trains two layers alone. Median over warm steps of the same batches, one thread."
    )
    return house.finish(figure, {}, "What one outer step of ScaleBiO costs", note)
