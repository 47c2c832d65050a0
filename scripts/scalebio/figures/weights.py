"""Source weights over the outer steps: one line a source, the mean over seeds, a band from lowest to highest seed.

Right of the last step stands a bar for each source, the 95 % interval of its weight there (`compositions`).
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scalebio.errors import UserError
from scalebio.figures import house

COLUMNS = ["experiment", "method", "seed", "step", "source", "weight", "verdict"]


def looks(sources: list[str], rates: dict[str, float]) -> dict[str, tuple[str, object, str]]:
    """Colour, dashes and label of each source: by its corruption rate in a series of rates, by its place otherwise."""
    if house.a_series_of_rates(rates.values()):
        return {
            source: (house.rate_colour(rates[source]), "-", f"{source} ({house.percent(rates[source])})")
            for source in sources
        }
    colours = len(house.PALETTE)
    return {
        source: (
            house.PALETTE[i % colours],
            house.DASHES[i // colours % len(house.DASHES)],
            house.with_rate(source, rates[source]),
        )
        for i, source in enumerate(sources)
    }


def draw_intervals(axes: Axes, part: pd.DataFrame, sources: list[str], look: dict, settings: dict) -> float:
    """A bar a source, side by side right of the last step; returns where the panel ends. None with one seed, or no `rows`."""
    last = part["step"].max()
    ending = part[part["step"] == part.groupby("seed")["step"].transform("max")]
    shares = ending.pivot(index="seed", columns="source", values="weight")[sources].to_numpy()
    if len(shares) < 2 or not settings.get("rows"):
        return last
    gap = (last - part["step"].min()) * 0.016
    places = last + gap * np.arange(1, len(sources) + 1)
    for place, source, interval in zip(places, sources, house.share_intervals(shares, settings), strict=True):
        axes.vlines(place, interval.low, interval.high, color=look[source][0], linewidth=1.6, zorder=3)
    axes.axvline(last, color=house.MUTED, linewidth=0.4, zorder=1)
    axes.set_xticks([tick for tick in axes.get_xticks() if part["step"].min() <= tick <= last])
    return float(places[-1] + gap)


def draw(table: pd.DataFrame, settings: dict) -> Figure:
    """One panel for each method that learns weights (more than one step) in `settings["experiment"]`.

    Settings: study, experiment, and optionally sources (order), corruption {source: rate, if not 0} and expected
    {source: share}, both or either of them None where nothing is planted, leakage, and for
    intervals rows (of the mixture) and validation_bootstrap.
    """
    rows, experiment = house.one_experiment(table, settings)
    learning = [name for name, part in rows.groupby("method", sort=False) if part["step"].nunique() > 1]
    if not learning:
        raise UserError(f"figure weights: no method of experiment {experiment} has more than one step.")
    sources = house.ordered(rows["source"], settings.get("sources"))
    planted = settings.get("corruption") or {}
    rates = {source: planted.get(source, 0.0) for source in sources}
    expected = settings.get("expected") or {}
    look = looks(sources, rates)
    longest = max(len(house.short(label)) for _, _, label in look.values())
    height = max(1.9, 0.14 * (len(sources) + 1) + 0.55)
    figure = Figure(
        figsize=(house.COLUMN if longest <= 18 else house.DOUBLE, height * len(learning)), layout="constrained"
    )
    labels = []
    grid = figure.subplots(len(learning), 1, squeeze=False)[:, 0]
    for axes, method in zip(grid, learning, strict=True):
        part = rows[rows["method"] == method]
        axes.axhline(1 / len(sources), color=house.MUTED, linestyle="--", linewidth=0.8, zorder=1)
        tags = [house.end_label(axes, 1 / len(sources), "uniform", house.MUTED, "--")]
        tags[0].set_color(house.MUTED)
        last = part["step"].max()
        for i, (source, share) in enumerate(expected.items()):
            # Diamonds of equal shares stand around each other.
            size = 5 + 3.5 * list(expected.values())[:i].count(share)
            mark = {"color": look[source][0], "markerfacecolor": "none", "markersize": size, "clip_on": False}
            axes.plot(last, share, "D", zorder=4, **mark)
        for source in sources:
            colour, dashes, label = look[source]
            band = house.seed_band(part[part["source"] == source], "weight")
            if band.empty:
                continue
            axes.fill_between(band.index, band["min"], band["max"], color=colour, alpha=0.2, linewidth=0)
            axes.plot(band.index, band["mean"], color=colour, linestyle=dashes)
            tags.append(house.end_label(axes, band["mean"].iloc[-1], label, colour, dashes))
        top = max(part["weight"].max(), 1 / len(sources), *expected.values())
        axes.set(ylim=(0, min(1.0, 1.08 * top)), ylabel="source weight (share)")
        axes.set_xlim(part["step"].min(), draw_intervals(axes, part, sources, look, settings))
        axes.set_title(method if len(learning) > 1 else "")
        labels.append((axes, tags))
    grid[-1].set_xlabel("outer step")
    seeds = rows[rows["method"].isin(learning)]["seed"].nunique()
    note = ["One seed, so no band."]
    if seeds > 1:
        note = [f"Line: mean over {seeds} seeds; band: lowest to highest seed."]
        if settings.get("rows"):
            note.append(f"Bars at the right: 95% interval of the last step over {house.varied(settings)}.")
    if house.a_series_of_rates(rates.values()):
        note.append("Percent and colour: share of spoiled answers.")
    if expected:
        note.append("Diamonds: planted shares.")
    note.append("Dashed grey: all sources equal.")
    title = f"{experiment}: source weights{house.checked(rows)}{house.leak(settings)}"
    house.finish(figure, settings, title, " ".join(note))
    for axes, tags in labels:
        house.spread_labels(axes, tags)
    return figure
