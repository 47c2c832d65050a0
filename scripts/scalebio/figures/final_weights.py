"""Final weights: against the corruption rate where sources form a series of rates, source by source otherwise."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from scalebio.figures import house

COLUMNS = ["experiment", "method", "seed", "source", "weight", "low", "high", "corruption", "expected", "verdict"]
# What the methods of one source take of the line that it has.
SPREAD = 0.66
DIAMOND = {"color": house.DARK, "markerfacecolor": "none"}


def learned(rows: pd.DataFrame) -> list[str]:
    """Methods whose weights differ from equal ones; equal weights are a line in the figure, not points."""
    count = rows["source"].nunique()
    methods = house.ordered(rows["method"])
    far = [name for name in methods if (rows[rows["method"] == name]["weight"] - 1 / count).abs().max() > 1e-9]
    return far or methods


def planted(rows: pd.DataFrame) -> pd.DataFrame:
    """Planted corruption rate and expected share by source, NaN where none is; columns corruption, expected."""
    return rows.drop_duplicates("source").set_index("source")[["corruption", "expected"]]


def draw_rates(rows: pd.DataFrame, truth: pd.DataFrame) -> tuple[Figure, list]:
    """Weight against the share of spoiled answers, and a diamond at the expected share where one is planted."""
    figure = Figure(figsize=(house.COLUMN, 2.1), layout="constrained")
    axes = figure.subplots()
    level = 1 / rows["source"].nunique()
    axes.axhline(level, color=house.MUTED, linestyle="--", linewidth=0.8, zorder=1)
    entries = []
    target = truth.dropna()
    if len(target):
        axes.plot(target["corruption"] * 100, target["expected"], "D", **DIAMOND, markersize=6, zorder=2)
        entries.append((house.marker(house.DARK, "D", markerfacecolor="none", markersize=6), "expected"))
    methods = learned(rows)
    for (method, (colour, shape)), offset in zip(
        house.method_styles(methods).items(), house.jitter(len(methods), 1.2), strict=True
    ):
        part = rows[rows["method"] == method]
        bars = part.drop_duplicates("source")
        axes.vlines(bars["corruption"] * 100 + offset, bars["low"], bars["high"], color=colour, linewidth=1.1, zorder=3)
        axes.plot(
            part["corruption"] * 100, part["weight"], shape, color=colour, alpha=0.6, markersize=3.5, mew=0, zorder=4
        )
        means = part.groupby("corruption")["weight"].mean()
        axes.plot(means.index * 100, means, color=colour, zorder=3)
        entries.append((Line2D([], [], color=colour, marker=shape, markersize=3.5), method))
    entries.append((Line2D([], [], color=house.MUTED, linestyle="--", linewidth=0.8), "all equal"))
    top = rows[["weight", "high", "expected"]].max().max()
    axes.set(xlabel="spoiled answers (%)", ylabel="final weight (share)", ylim=(-0.04 * top, 1.06 * top))
    return figure, entries


def draw_sources(rows: pd.DataFrame, truth: pd.DataFrame) -> tuple[Figure, list]:
    """One line a source, a point a seed, a tick at the mean and a diamond at the expected share, where one is planted."""
    sources = list(truth.index)
    methods = learned(rows)
    names = [house.short(house.with_rate(source, truth["corruption"][source])) for source in sources]
    longest = max(map(len, names))
    height = 0.5 + len(sources) * (0.12 + 0.08 * len(methods))
    figure = Figure(figsize=(house.COLUMN if longest <= 24 else house.DOUBLE, max(height, 1.2)), layout="constrained")
    axes = figure.subplots()
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", visible=True)
    axes.axvline(1 / len(sources), color=house.MUTED, linestyle="--", linewidth=0.8, zorder=1)
    entries = []
    if truth["expected"].notna().any():
        axes.plot(truth["expected"], range(len(sources)), "D", **DIAMOND, markersize=7, clip_on=False, zorder=2)
        entries.append((house.marker(house.DARK, "D", markerfacecolor="none", markersize=6), "expected"))
    offsets = house.jitter(len(methods), SPREAD)
    # As tall as the gap to the next method, or the ticks of methods that agree would run into one line.
    half = min(0.2, 0.5 * SPREAD / max(len(methods) - 1, 1))
    for (method, (colour, shape)), offset in zip(house.method_styles(methods).items(), offsets, strict=True):
        for position, source in enumerate(sources):
            part = rows[(rows["method"] == method) & (rows["source"] == source)]
            values = part["weight"]
            at = [position + offset] * len(values)
            bar = part.drop_duplicates("source")
            axes.hlines(at[:1], bar["low"], bar["high"], color=colour, linewidth=1.1, zorder=3, clip_on=False)
            axes.plot(values, at, shape, color=colour, alpha=0.65, markersize=4, mew=0, zorder=4, clip_on=False)
            if len(values):
                mean = [values.mean()] * 2
                axes.plot(mean, [at[0] - half, at[0] + half], color=colour, linewidth=1.6, zorder=3, clip_on=False)
        entries.append((house.marker(colour, shape, alpha=0.8), method))
    entries.append((Line2D([], [], color=house.MUTED, linestyle="--", linewidth=0.8), "all equal"))
    axes.set_yticks(range(len(sources)), names)
    axes.tick_params(axis="y", length=0)
    axes.set(ylim=(len(sources) - 0.5, -0.5), xlabel="final weight (share)")
    top = rows[["weight", "high", "expected"]].max().max()
    axes.set_xlim(-0.03 * top, 1.04 * top)
    return figure, entries


def draw(table: pd.DataFrame, settings: dict) -> Figure:
    """Settings: study, experiment, and optionally sources (order), leakage and validation_bootstrap."""
    rows, experiment = house.one_experiment(table, settings)
    truth = planted(rows)
    truth = truth.loc[house.ordered(truth.index, settings.get("sources"))]
    by_rate = house.a_series_of_rates(truth["corruption"])
    figure, entries = (draw_rates if by_rate else draw_sources)(rows, truth)
    seeds = rows["seed"].nunique()
    drawn = "One seed, so no interval."
    if seeds > 1:
        drawn = f"Points: {seeds} seeds; {'line' if by_rate else 'tick'}: their mean; bars: 95% interval over {house.varied(settings)}."
    title = f"{experiment}: final weights{house.checked(rows)}{house.leak(settings)}"
    return house.finish(figure, settings, title, drawn, entries)
