"""What each difference of the releases costs: distance from the planted shares, one switch turned at a time."""

import pandas as pd
from matplotlib.figure import Figure

from scalebio.figures import house

COLUMNS = ["task", "seed", "variant", "tv"]
RELEASES = ("official_acl", "official_v1")


def draw(table: pd.DataFrame, settings: dict) -> Figure:
    """A panel for each task, a line for each variant; points are seeds, the bar is their mean. Settings: none."""
    tasks, variants = house.ordered(table["task"]), house.ordered(table["variant"])
    figure = Figure(figsize=(house.DOUBLE, 0.9 + 0.2 * len(variants)), layout="constrained")
    panels = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    for axes, task in zip(panels, tasks, strict=True):
        rows = table[table["task"] == task]
        means = rows.groupby("variant")["tv"].mean()
        axes.axvline(means["ours"], color=house.MUTED, linewidth=0.8, zorder=1)
        for place, variant in enumerate(variants):
            values = rows[rows["variant"] == variant]["tv"]
            colour = (
                house.DARK
                if variant == "ours"
                else house.method_styles(["a", "b", "c"])["b" if variant in RELEASES else "a"][0]
            )
            axes.barh(place, means[variant], height=0.62, color=colour, alpha=0.35, zorder=2)
            axes.plot(values, [place] * len(values), "o", color=colour, markersize=3, zorder=3)
        axes.set(
            title=task, xlabel="total variation to the planted shares", xlim=(0, None), ylim=(len(variants) - 0.4, -0.6)
        )
        axes.grid(axis="y", visible=False)
    panels[0].set_yticks(range(len(variants)), [variant.replace("_", " ") for variant in variants])
    note = f"Points: {table['seed'].nunique()} seeds; bars: their mean; line: ours. Same rates, steps and LISA in every run."
    return house.finish(figure, settings, "One point at a time as in the releases", note, [])
