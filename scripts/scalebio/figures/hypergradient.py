"""Is the λ gradient right: its error by α on quadratics and a tiny language model, its direction by α and by steps."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter

from scalebio.figures import house

COLUMNS = ["stage", "method", "seed", "alpha", "steps", "cosine", "relative_error"]
BLUE, ORANGE, GREEN = house.PALETTE[:3]
POWERS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
LOOPS = {10.0: (BLUE, house.DASHES[0]), 100.0: (ORANGE, house.DASHES[1])}


def _power(value: float, _: int) -> str:
    """A power of ten as text, since no text here is read as a formula."""
    return "10" + str(round(np.log10(value))).translate(POWERS)


def draw(table: pd.DataFrame, settings: dict) -> Figure:
    """Four panels: error by α on quadratics; the same on the language model; 1 − cosine by α; cosine by steps."""
    quadratic, converged, steps = (table[table["stage"] == stage] for stage in ("quadratic", "converged", "steps"))
    figure, grid = house.panels(4, 1, 1.9, most=2)
    ((first,), (second,), (third,), (fourth,)) = grid
    for axes, rows, name in ((first, quadratic, "Quadratics"), (second, converged, "Tiny language model")):
        for _, part in rows.groupby("seed"):
            part = part.sort_values("alpha")
            axes.loglog(part["alpha"], part["relative_error"], color=BLUE, marker="o", markersize=2.5, linewidth=0.8)
        # The guide ends on the largest error at the largest α, so that a slope of −1 is a parallel.
        last = rows[rows["alpha"] == rows["alpha"].max()]["relative_error"].max()
        ends = np.array([rows["alpha"].min(), rows["alpha"].max()])
        axes.loglog(ends, last * ends[1] / ends, color=house.MUTED, linestyle=house.DASHES[1], linewidth=1)
        house.panel_title(axes, name)
        axes.set_ylabel("relative error")
        axes.set_xlabel("α")
    for _, part in converged.groupby("seed"):
        part = part.sort_values("alpha")
        third.loglog(part["alpha"], 1 - part["cosine"], color=BLUE, marker="o", markersize=2.5, linewidth=0.8)
    third.axhline(0.01, color=house.MUTED, linewidth=0.8, linestyle=house.DASHES[2])
    third.annotate(
        "cosine 0.99",
        (1, 0.01),
        (-2, -3),
        xycoords=third.get_yaxis_transform(),
        textcoords="offset points",
        ha="right",
        va="top",
    )
    house.panel_title(third, "Tiny language model")
    third.set_ylabel("1 − cosine")
    third.set_xlabel("α")
    for alpha, (colour, dashes) in LOOPS.items():
        part = steps[(steps["method"] == "loop") & (steps["alpha"] == alpha)]
        # Adam makes the gap swing from step to step: bins a fifth of a decade wide, their middle and their range.
        bins = part.groupby(np.floor(5 * np.log10(part["steps"].astype(float))))
        at = bins["steps"].median().astype(float)
        fourth.fill_between(at, bins["cosine"].min(), bins["cosine"].max(), color=colour, alpha=0.18, linewidth=0)
        fourth.plot(at, bins["cosine"].median(), color=colour, linestyle=dashes, linewidth=1.2)
    part = steps[steps["method"] == "unrolled"].sort_values("steps")
    fourth.plot(part["steps"], part["cosine"], color=GREEN, marker="s", markersize=3, linewidth=0.9)
    fourth.set_xscale("log")
    fourth.set_ylim(-1.05, 1.1)
    fourth.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    house.panel_title(fourth, "Tiny language model")
    fourth.set_ylabel("cosine")
    fourth.set_xlabel("steps of u and w from the base")
    for axes, ticks in ((first, range(-4, 1)), (second, range(-4, 1)), (third, range(-10, 0, 2))):
        axes.xaxis.set_major_locator(FixedLocator([1, 10, 100, 1000]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.yaxis.set_major_locator(FixedLocator([10.0**power for power in ticks]))
        axes.yaxis.set_major_formatter(FuncFormatter(_power))
        axes.minorticks_off()
    entries = [
        (Line2D([], [], color=BLUE, marker="o", markersize=2.5), "u and w at their minima, one line a seed"),
        (Line2D([], [], color=house.MUTED, linestyle=house.DASHES[1]), "slope −1"),
        *(
            (Line2D([], [], color=colour, linestyle=dashes), f"the loop, α = {alpha:g}")
            for alpha, (colour, dashes) in LOOPS.items()
        ),
        (Line2D([], [], color=GREEN, marker="s", markersize=3), "unrolled differentiation"),
    ]
    note = (
        f"ScaleBiO's λ gradient against the exact hypergradient: in closed form ({quadratic['seed'].nunique()} quadratics), "
        f"by implicit differentiation ({converged['seed'].nunique()} seeds of a tiny GPT-2, float64, full batch, "
        "lower problem with a ridge). Lower right: seed 0; line: median over a fifth of a decade of steps, band: lowest to "
        "highest; λ held."
    )
    return house.finish(figure, settings, "Is the λ gradient right?", note, entries)
