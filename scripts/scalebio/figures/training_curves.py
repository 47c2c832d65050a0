"""Losses over steps, by method with a seed band: one column of panels an experiment, one row a kind of loss.

A line of a single step is a point, its band a bar.
"""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from scalebio.errors import UserError
from scalebio.figures import house

COLUMNS = ["experiment", "method", "seed", "stage", "split", "step", "loss"]
SPLITS = {
    "validation": "validation loss",
    "training": "training loss",
    "L1": "L1(w): validation loss",
    "L2_w": "L2(w): training loss",
    "L2_u": "L2(u): training loss",
}


def draw(table: pd.DataFrame, settings: dict) -> Figure:
    """Settings: study, and stage: "finetuning" (the default) or "reweighting"; append_validation, said of the former."""
    stage = settings.get("stage", "finetuning")
    rows = table[table["stage"] == stage]
    if rows.empty:
        known = ", ".join(dict.fromkeys(table["stage"]))
        raise UserError(f"figure training_curves: no rows of stage {stage}; the table has {known}.")
    names = house.ordered(rows["experiment"])
    splits = house.ordered(rows["split"], list(SPLITS))
    styles = house.method_styles(house.ordered(rows["method"]))
    figure, grid = house.panels(len(names), len(splits), 1.5)
    for index, (name, column) in enumerate(zip(names, grid, strict=True)):
        for axes, split in zip(column, splits, strict=True):
            part = rows[(rows["experiment"] == name) & (rows["split"] == split)]
            for method, (colour, shape) in styles.items():
                band = house.seed_band(part[part["method"] == method], "loss")
                if band.empty:
                    continue
                # A marker for each of the first, middle and last thirds tells lines apart without colour.
                marks = {"marker": shape, "markersize": 3, "markevery": max(1, len(band) // 3)}
                if len(band) == 1:
                    axes.vlines(band.index, band["min"], band["max"], color=colour, alpha=0.4, linewidth=2)
                else:
                    axes.fill_between(band.index, band["min"], band["max"], color=colour, alpha=0.2, linewidth=0)
                axes.plot(band.index, band["mean"], color=colour, linewidth=1.1, **marks)
            axes.yaxis.set_major_locator(MaxNLocator(5))
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            if part["step"].nunique() == 1:
                axes.set_xticks(part["step"].unique())
            if index % 3 == 0:
                axes.set_ylabel(f"{SPLITS.get(split, split)}\n(nats per token)")
        house.panel_title(column[0], name)
        column[-1].set_xlabel("outer step" if stage == "reweighting" else "optimiser step")
    entries = [
        (Line2D([], [], color=colour, marker=shape, markersize=3), name) for name, (colour, shape) in styles.items()
    ]
    seeds = rows["seed"].nunique()
    many = rows.groupby(["experiment", "method", "split"])["step"].nunique() > 1
    mean, span = (
        ("Line", "band") if many.all() else ("Line or point", "band or bar") if many.any() else ("Point", "bar")
    )
    drawn = (
        f"{mean}: mean over {seeds} seeds; {span}: lowest to highest seed." if seeds > 1 else f"One seed, so no {span}."
    )
    tuning = f"Loss while fine-tuning{house.appended(settings)}"
    title = {"finetuning": tuning, "reweighting": "Losses while learning weights"}.get(stage, stage)
    return house.finish(figure, settings, title, f"{drawn}{house.SCALES}", entries)
