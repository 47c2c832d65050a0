"""Source weights over the outer steps: one line a source, the mean over seeds, a band from lowest to highest seed."""

import pandas as pd
from matplotlib.figure import Figure

from scalebio.errors import UserError
from scalebio.figures import house

COLUMNS = ["experiment", "method", "seed", "step", "source", "weight"]


def looks(sources: list[str], corruption: dict[str, float] | None) -> dict[str, tuple[str, object, str]]:
    """Colour, dashes and label of each source; by corruption rate where there is one."""
    if corruption:
        rates = {source: corruption.get(source, 0.0) for source in sources}
        return {
            source: (house.rate_colour(rate), "-", f"{source} ({100 * rate:.0f}%)") for source, rate in rates.items()
        }
    colours = len(house.PALETTE)
    return {
        source: (house.PALETTE[i % colours], house.DASHES[i // colours % len(house.DASHES)], source)
        for i, source in enumerate(sources)
    }


def draw(table: pd.DataFrame, settings: dict) -> Figure:
    """One panel for each method that learns weights (more than one step) in `settings["experiment"]`.

    Settings: study, experiment, and optionally sources (order), corruption {source: rate}, titles, title.
    """
    rows, experiment = house.one_experiment(table, settings)
    learning = [name for name, part in rows.groupby("method", sort=False) if part["step"].nunique() > 1]
    if not learning:
        raise UserError(f"figure weights: no method of experiment {experiment} has more than one step.")
    sources = house.ordered(rows["source"], settings.get("sources"))
    look = looks(sources, settings.get("corruption"))
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
        for source in sources:
            colour, dashes, label = look[source]
            band = house.seed_band(part[part["source"] == source], "weight")
            if band.empty:
                continue
            axes.fill_between(band.index, band["min"], band["max"], color=colour, alpha=0.2, linewidth=0)
            axes.plot(band.index, band["mean"], color=colour, linestyle=dashes)
            tags.append(house.end_label(axes, band["mean"].iloc[-1], label, colour, dashes))
        top = part["weight"].max()
        axes.set(ylim=(0, min(1.0, 1.08 * max(top, 1 / len(sources)))), ylabel="source weight (share)")
        axes.set_xlim(part["step"].min(), part["step"].max())
        axes.set_title(method if len(learning) > 1 else "")
        labels.append((axes, tags))
    grid[-1].set_xlabel("outer step")
    seeds = rows[rows["method"].isin(learning)]["seed"].nunique()
    drawn = f"Line: mean over {seeds} seeds; band: lowest to highest seed." if seeds > 1 else "One seed, so no band."
    rates = " Percent and colour: share of corrupted answers." if settings.get("corruption") else ""
    title = f"{house.title_of(experiment, settings)}: source weights"
    house.finish(figure, settings, title, f"{drawn}{rates} Dashed grey: all sources equal.")
    for axes, tags in labels:
        house.spread_labels(axes, tags)
    return figure
