"""Loss surfaces of planted tasks over the simplex, with every method's weights on them; four sources as pairs.

Three sources: a triangle, coloured by the test loss above the best point's, each lattice point a dot. With four the simplex has
three dimensions: the surface is shown on its six edges' coordinates, the least loss over all that the two shares leave open.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure
from matplotlib.tri import Triangulation

from scalebio.figures import house
from scalebio.tables.grid import RUNS, lattice, shares

COLUMNS = RUNS
TEXT = ("label", "role")
HEIGHT = np.sqrt(3) / 2
# Marks of single mixtures; methods follow in the house's order.
ANCHORS = {"uniform": ("#666666", "s"), "oracle": (house.DARK, "D"), "grid best": (house.DARK, "*")}
COLOURS, LEVELS = "cividis_r", 9


def places(points: np.ndarray) -> np.ndarray:
    """Mixtures [n, 3] in the plane [n, 2]: the first source at the top, the second on the left, the third on the right."""
    return np.column_stack([points[:, 2] + points[:, 0] / 2, points[:, 0] * HEIGHT])


def looks(labels: list[str]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each mixture; the improved loop is blue, as `scalebio` is elsewhere."""
    methods = ["scalebio" if label == "improved" else label for label in labels if label not in ANCHORS]
    found = house.method_styles(methods)
    return ANCHORS | {("improved" if label == "scalebio" else label): look for label, look in found.items()}


def mark(axes: Axes, where: np.ndarray, fresh: pd.DataFrame, styles: dict) -> None:
    """Every mixture that was trained again, at its place [rows of `fresh`, 2]."""
    for (x, y), label in zip(where, fresh["label"], strict=True):
        colour, shape = styles[label]
        size = {"*": 10, "s": 5.5}.get(shape, 8 if label == "oracle" else 5)
        hollow = (
            {"markerfacecolor": "none", "mew": 1.2} if label == "oracle" else {"markeredgecolor": "white", "mew": 0.5}
        )
        axes.plot(
            x, y, shape, color=colour, markersize=size, clip_on=False, zorder=6 - (label == "grid best"), **hollow
        )


def surface(axes: Axes, where: np.ndarray, above: np.ndarray, most: float):
    """The loss above the best point's [points] at `where` [points, 2], filled between the dots."""
    triangles = Triangulation(*where.T)
    # Closer levels near the best point, where methods differ, each with as much colour as the others.
    levels = most * np.linspace(0, 1, LEVELS) ** 2
    norm = BoundaryNorm(levels, 256)
    filled = axes.tricontourf(triangles, np.clip(above, 0, most), levels, cmap=COLOURS, norm=norm)
    axes.plot(*where.T, ".", color="white", markersize=2, alpha=0.8, zorder=2)
    return filled


def triangle(axes: Axes, task: str, part: pd.DataFrame, styles: dict):
    """One task of three sources."""
    points, losses = lattice(part)
    fresh = part[part["role"] == "fresh"].drop_duplicates(["label", "method_seed"])
    above = losses.mean(axis=1) - losses.mean(axis=1).min()
    filled = surface(axes, places(points), above, above.max())
    mark(axes, places(shares(fresh["weights"])), fresh, styles)
    for corner, (x, y), ha, va in (
        (1, (0.5, HEIGHT + 0.05), "center", "bottom"),
        (2, (0, -0.05), "center", "top"),
        (3, (1, -0.05), "center", "top"),
    ):
        axes.text(x, y, f"source {corner}", ha=ha, va=va, fontsize=7.5)
    axes.set(aspect="equal", xlim=(-0.1, 1.1), ylim=(-0.16, HEIGHT + 0.16), title=task)
    axes.axis("off")
    return filled


def pair(axes: Axes, task: str, part: pd.DataFrame, styles: dict):
    """One task of more sources, by the shares of the first two: the least loss over what the others may get."""
    points, losses = lattice(part)
    fresh = part[part["role"] == "fresh"].drop_duplicates(["label", "method_seed"])
    least = pd.DataFrame({"x": points[:, 0], "y": points[:, 1], "loss": losses.mean(axis=1)})
    least = least.groupby(["x", "y"], as_index=False)["loss"].min()
    above = least["loss"].to_numpy() - least["loss"].min()
    filled = surface(axes, least[["x", "y"]].to_numpy(), above, above.max())
    mark(axes, shares(fresh["weights"])[:, :2], fresh, styles)
    axes.set(aspect="equal", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), title=task)
    axes.set(xlabel="share of source 1", ylabel="share of source 2")
    axes.grid(visible=False)
    return filled


def draw(table: pd.DataFrame, settings: dict) -> Figure:
    """One panel a task. Settings: study, optional."""
    tasks = house.ordered(table["task"])
    styles = looks(house.ordered(table["label"][table["role"] == "fresh"]))
    figure = Figure(figsize=(house.DOUBLE, 3.15), layout="constrained")
    for axes, task in zip(figure.subplots(1, len(tasks), squeeze=False)[0], tasks, strict=True):
        part = table[table["task"] == task]
        drawing = triangle if len(part["weights"].iloc[0].split()) == 3 else pair
        filled = drawing(axes, task, part, styles)
        bar = figure.colorbar(
            filled, ax=axes, orientation="horizontal", shrink=0.8, aspect=22, pad=0.03, spacing="uniform"
        )
        bar.set_label("test loss above the best (nats)", fontsize=7)
        bar.ax.tick_params(labelsize=6.5)
        bar.set_ticks(filled.levels[::2], labels=[f"{level:.2g}" for level in filled.levels[::2]])
        bar.minorticks_off()
    entries = []
    for label, (colour, shape) in styles.items():
        hollow = {"markerfacecolor": "none"} if label == "oracle" else {}
        entries.append((house.marker(colour, shape, **hollow), label))
    seeds = table[table["role"] == "lattice"]["training_seed"].nunique()
    note = f"White dots: mixtures trained, mean of {seeds} seeds; colours between them are interpolated."
    if any(len(text.split()) == 3 for text in table["weights"]):
        note += " Corners: that source alone."
    if any(len(text.split()) > 3 for text in table["weights"]):
        note += " With four sources: the least loss over all shares of the third and fourth."
    return house.finish(figure, settings, "Loss over all mixtures of the sources", note, entries)
