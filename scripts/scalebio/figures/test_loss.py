"""Test loss by method with 95 % intervals and every seed, one panel an experiment; accuracy below where measured."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from scalebio.figures import house

COLUMNS = ["experiment", "method", "seed", "test_loss", "accuracy"]


def draw_panel(axes: Axes, rows: pd.DataFrame, quantity: str, styles: dict, scale: float, crowded: bool) -> None:
    """One quantity of one experiment: seeds as points, mean and interval beside them."""
    for position, (method, (colour, shape)) in enumerate(styles.items()):
        values = rows[rows["method"] == method][quantity].dropna() * scale
        if len(values):
            at = position - 0.18 + house.jitter(len(values), 0.16)
            axes.plot(at, values, shape, color=colour, alpha=0.6, markersize=3.2, mew=0, zorder=2)
            house.draw_interval(axes, position + 0.12, values.tolist(), colour)
    axes.set_xlim(-0.6, len(styles) - 0.4)
    turned = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if crowded else {}
    axes.set_xticks(range(len(styles)), [house.short(method, 28) for method in styles], **turned)
    axes.tick_params(axis="x", length=0)
    axes.margins(y=0.12)
    axes.yaxis.set_major_locator(MaxNLocator(5))


def draw(table: pd.DataFrame, settings: dict) -> Figure:
    """One column of panels an experiment. Settings: study, and optionally append_validation."""
    names = house.ordered(table["experiment"])
    styles = house.method_styles(house.ordered(table["method"]))
    quantities = ["test_loss"] + (["accuracy"] if table["accuracy"].notna().any() else [])
    figure, grid = house.panels(len(names), len(quantities), 1.75)
    panel_width = figure.get_size_inches()[0] / min(len(names), 3) - 0.6
    crowded = max(len(method) for method in styles) * 0.065 * len(styles) > panel_width
    for index, (name, column) in enumerate(zip(names, grid, strict=True)):
        part = table[table["experiment"] == name]
        house.panel_title(column[0], name)
        draw_panel(column[0], part, "test_loss", styles, 1.0, crowded)
        if index % 3 == 0:
            column[0].set_ylabel("test loss\n(nats per token)")
        if len(quantities) == 1:
            continue
        if part["accuracy"].notna().any():
            draw_panel(column[1], part, "accuracy", styles, 100.0, crowded)
            column[1].set_ylabel("accuracy (%)")
        else:
            column[1].set_axis_off()
            column[1].text(
                0.5, 0.5, "accuracy not measured", ha="center", color=house.MUTED, transform=column[1].transAxes
            )
    seeds = table.groupby(["experiment", "method"])["seed"].nunique()
    count = house.several(seeds)
    drawn = (
        f"Points: {count} seeds; tick and bar: mean with 95% t-interval over seeds." if seeds.max() > 1 else "One seed."
    )
    bare = " A method with one seed has no interval." if seeds.min() == 1 < seeds.max() else ""
    title = f"Test loss by method{house.appended(settings)}"
    return house.finish(figure, settings, title, f"{drawn}{bare}{house.SCALES * (len(names) > 1)}")
