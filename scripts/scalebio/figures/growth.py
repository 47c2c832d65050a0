"""How an outer step's time and memory grow: one column for what is varied, one row for what is measured."""

import pandas as pd
from matplotlib.figure import Figure

from scalebio.figures import house

COLUMNS = ["varied", "sources", "length", "width", "cpu_seconds", "peak_mb", "parameters"]
VARIED = {
    "sources": "sources (same global batch)",
    "length": "tokens per example",
    "width": "parameters (millions)",
}
MEASURED = {"cpu_seconds": "CPU seconds per step", "peak_mb": "peak memory above imports (MB)"}


def draw(table: pd.DataFrame, settings: dict) -> Figure:
    """Lines through what was measured, logarithmic in both directions. Settings: none."""
    figure = Figure(figsize=(house.DOUBLE, 0.62 * house.DOUBLE), layout="constrained")
    panels = figure.subplots(len(MEASURED), len(VARIED), sharey="row")
    colour = house.method_styles(["scalebio"])["scalebio"][0]
    for row, (value, label) in enumerate(MEASURED.items()):
        for column, (varied, name) in enumerate(VARIED.items()):
            axes, rows = panels[row][column], table[table["varied"] == varied]
            at = rows["parameters"] / 1e6 if varied == "width" else rows[varied]
            axes.plot(at, rows[value], "o-", color=colour, markersize=4)
            axes.set(xscale="log", yscale="log")
            axes.set_xticks(at, [f"{x:.2g}" if varied == "width" else f"{x:g}" for x in at])
            axes.minorticks_off()
            if row:
                axes.set_xlabel(name)
        panels[row][0].set_ylabel(label)
        low, high = table[value].min(), table[value].max()
        ticks = [
            t for t in (0.1, 0.2, 0.5, 1, 2, 5, 10, 50, 100, 200, 500, 1000, 2000) if low * 0.8 <= t <= high * 1.25
        ]
        panels[row][0].set_yticks(ticks, [f"{t:g}" for t in ticks])
    note = "One thread; least of seven warm steps; each point in a process of its own."
    return house.finish(figure, settings, "What a step costs as the problem grows", note, [])
