"""Final weights: against the corruption rate where corruption was planted, source by source otherwise."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from scalebio.figures import house

COLUMNS = ["experiment", "method", "seed", "source", "weight", "corruption", "expected"]


def learned(rows: pd.DataFrame, settings: dict) -> list[str]:
    """Methods whose weights differ from equal ones; equal weights are a line in the figure, not points."""
    count = rows["source"].nunique()
    methods = house.ordered(rows["method"], settings.get("methods"))
    far = [name for name in methods if (rows[rows["method"] == name]["weight"] - 1 / count).abs().max() > 1e-9]
    return far or methods


def ideal(rows: pd.DataFrame) -> pd.Series:
    """Weight that each source should get: as planted, or shared equally by the sources without corruption.

    Indexed by source; empty where neither is known.
    """
    facts = rows.drop_duplicates("source").set_index("source")
    if facts["expected"].notna().any():
        return facts["expected"].dropna()
    clean = facts["corruption"] == 0
    return (clean / clean.sum()).astype(float) if clean.any() else pd.Series(dtype=float)


def draw_rates(rows: pd.DataFrame, settings: dict) -> tuple[Figure, list]:
    """Weight against the share of corrupted answers, with the ideal."""
    figure = Figure(figsize=(house.COLUMN, 2.1), layout="constrained")
    axes = figure.subplots()
    level = 1 / rows["source"].nunique()
    axes.axhline(level, color=house.MUTED, linestyle="--", linewidth=0.8, zorder=1)
    entries = []
    target = ideal(rows)
    if len(target):
        rates = rows.drop_duplicates("source").set_index("source")["corruption"].reindex(target.index) * 100
        by_rate = target.groupby(rates).mean()
        look = {"color": house.DARK, "linestyle": ":", "marker": "D", "markerfacecolor": "none", "linewidth": 1.0}
        axes.plot(by_rate.index, by_rate, markersize=6, zorder=2, **look)
        entries.append((Line2D([], [], **look), "ideal"))
    methods = learned(rows, settings)
    for method, (colour, shape) in house.method_styles(methods).items():
        part = rows[rows["method"] == method]
        axes.plot(
            part["corruption"] * 100, part["weight"], shape, color=colour, alpha=0.6, markersize=3.5, mew=0, zorder=4
        )
        means = part.groupby("corruption")["weight"].mean()
        axes.plot(means.index * 100, means, color=colour, zorder=3)
        entries.append((Line2D([], [], color=colour, marker=shape, markersize=3.5), method))
    entries.append((Line2D([], [], color=house.MUTED, linestyle="--", linewidth=0.8), "all equal"))
    top = max(rows["weight"].max(), target.max() if len(target) else 0)
    axes.set(xlabel="corrupted answers (%)", ylabel="final weight (share)", ylim=(-0.04 * top, 1.06 * top))
    return figure, entries


def draw_sources(rows: pd.DataFrame, settings: dict) -> tuple[Figure, list]:
    """One line a source, a point a seed, a tick at the mean and a diamond where the planted truth lies."""
    sources = house.ordered(rows["source"], settings.get("sources"))
    methods = learned(rows, settings)
    longest = max(len(house.short(source)) for source in sources)
    height = 0.5 + len(sources) * (0.12 + 0.08 * len(methods))
    figure = Figure(figsize=(house.COLUMN if longest <= 24 else house.DOUBLE, max(height, 1.2)), layout="constrained")
    axes = figure.subplots()
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", visible=True)
    axes.axvline(1 / len(sources), color=house.MUTED, linestyle="--", linewidth=0.8, zorder=1)
    entries = []
    target = ideal(rows)
    if len(target):
        look = {"color": house.DARK, "markerfacecolor": "none", "markersize": 7, "clip_on": False}
        axes.plot(target, [sources.index(source) for source in target.index], "D", zorder=2, **look)
        entries.append((house.marker(house.DARK, "D", markerfacecolor="none", markersize=6), "expected"))
    offsets = house.jitter(len(methods), 0.5 if len(methods) > 1 else 0)
    for (method, (colour, shape)), offset in zip(house.method_styles(methods).items(), offsets, strict=True):
        for position, source in enumerate(sources):
            values = rows[(rows["method"] == method) & (rows["source"] == source)]["weight"]
            at = [position + offset] * len(values)
            axes.plot(values, at, shape, color=colour, alpha=0.65, markersize=4, mew=0, zorder=4, clip_on=False)
            if len(values):
                mean = [values.mean()] * 2
                axes.plot(mean, [at[0] - 0.2, at[0] + 0.2], color=colour, linewidth=1.6, zorder=3, clip_on=False)
        entries.append((house.marker(colour, shape, alpha=0.8), method))
    entries.append((Line2D([], [], color=house.MUTED, linestyle="--", linewidth=0.8), "all equal"))
    axes.set_yticks(range(len(sources)), [house.short(source) for source in sources])
    axes.tick_params(axis="y", length=0)
    axes.set(ylim=(len(sources) - 0.5, -0.5), xlabel="final weight (share)")
    top = max(rows["weight"].max(), target.max() if len(target) else 0)
    axes.set_xlim(-0.03 * top, 1.04 * top)
    return figure, entries


def draw(table: pd.DataFrame, settings: dict) -> Figure:
    """Settings: study, experiment, and optionally sources (order), methods (order), titles, title."""
    rows, experiment = house.one_experiment(table, settings)
    by_rate = rows["corruption"].notna().any() and rows["corruption"].nunique() > 1
    figure, entries = (draw_rates if by_rate else draw_sources)(rows, settings)
    seeds = rows["seed"].nunique()
    drawn = f"Points: {seeds} seeds; {'line' if by_rate else 'tick'}: their mean." if seeds > 1 else "One seed."
    title = f"{house.title_of(experiment, settings)}: final weights"
    return house.finish(figure, settings, title, drawn, entries)
