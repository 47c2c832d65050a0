"""Peak memory predicted against measured, a point a run: all of a process's memory left, what its model added right."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scalebio.figures import house

COLUMNS = ["run", "model", "job", "trains", "processes", "predicted_mb", "measured_mb", "predicted_above_mb"]
COLUMNS += ["measured_above_mb"]
TEXT = ("run", "model", "job", "trains", "sharing")
COLOURS = dict(zip(("full", "LISA", "LoRA"), house.PALETTE, strict=False))
SHAPES = {"reweighting": "o", "fine-tuning": "^"}
BAND = 0.15


def _panel(axes: Axes, table: pd.DataFrame, kind: str, title: str) -> None:
    predicted, measured = table[f"predicted{kind}_mb"], table[f"measured{kind}_mb"]
    low, high = 0.8 * min(predicted.min(), measured.min()), 1.25 * max(predicted.max(), measured.max())
    axes.fill_between(
        [low, high], [low * (1 - BAND), high * (1 - BAND)], [low * (1 + BAND), high * (1 + BAND)], color="#e6e6e6"
    )
    axes.plot([low, high], [low, high], color=house.MUTED, linewidth=0.8)
    for row in table.itertuples():
        colour = COLOURS[row.trains]
        at = getattr(row, f"measured{kind}_mb"), getattr(row, f"predicted{kind}_mb")
        fill = colour if row.processes == 1 else "white"
        axes.plot(*at, SHAPES[row.job], color=colour, markerfacecolor=fill, markersize=4.5)
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high), aspect="equal", title=title)
    ticks = [t for t in (50, 100, 200, 500, 1000, 2000, 5000, 10_000) if low < t < high]
    axes.set_xticks(ticks, [f"{t:,}" for t in ticks])
    axes.set_yticks(ticks, [f"{t:,}" for t in ticks])
    axes.minorticks_off()
    axes.grid(axis="both")
    axes.set_xlabel("measured peak (MB)")


def draw(table: pd.DataFrame, settings: dict) -> Figure:
    """Two panels with the line of equality, logarithmic. Settings: none."""
    figure = Figure(figsize=(house.DOUBLE, 0.5 * house.DOUBLE), layout="constrained")
    panels = figure.subplots(1, 2)
    _panel(panels[0], table, "", "All of a process")
    _panel(panels[1], table, "_above", "Above the imports")
    panels[0].set_ylabel("predicted peak (MB)")
    entries = [(house.marker(colour, "s"), trains) for trains, colour in COLOURS.items()]
    entries += [(house.marker(house.DARK, shape), job) for job, shape in SHAPES.items()]
    entries += [(house.marker(house.DARK, "o", markerfacecolor="white"), "of two processes")]
    within = (table["predicted_mb"] / table["measured_mb"] - 1).abs().le(BAND).sum()
    note = (
        f"A point is a run; line: equal; band: {house.percent(BAND)} either way, {within} of {len(table)} runs in it on the left. "
        "Resident memory on a CPU, of the process that held most."
    )
    return house.finish(figure, settings, "Peak memory of training, predicted against measured", note, entries)
