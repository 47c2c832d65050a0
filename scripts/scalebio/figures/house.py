"""The house style: sizes, colours, panels, labels that do not collide, footers, and files equal byte for byte.

A figure module has `COLUMNS`, the columns its table must have, and `draw(table, settings)`, which returns a
matplotlib Figure. It uses no pyplot, so that nothing global is left behind.
"""

import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation

from scalebio import compositions, statistics
from scalebio.errors import UserError
from scalebio.files import replacing

COLUMN, DOUBLE = 3.35, 6.9  # inches: one and two columns of a paper
NOTE_SIZE = 6.5
MUTED = "#777777"
DARK = "#222222"
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)))
# A baseline is grey and the method of the paper blue in every figure; others follow in order.
KNOWN_METHODS = {"uniform": ("#666666", "s"), "scalebio": ("#0072B2", "o")}
OTHER_METHODS = [("#D55E00", "^"), ("#009E73", "D"), ("#CC79A7", "v"), ("#E69F00", "P"), ("#56B4E9", "X")]
# Five more with the same colours, because no more are told apart by everyone.
OTHER_METHODS += [("#D55E00", "p"), ("#009E73", "<"), ("#CC79A7", "h"), ("#E69F00", ">"), ("#56B4E9", "d")]
LONGEST_NAME = 44
SCALES = " Scales differ between panels."


def style():
    """A context in which figures must be both made and saved."""
    return matplotlib.rc_context(fname=Path(__file__).with_name("house.mplstyle"))


def short(text: str, longest: int = LONGEST_NAME) -> str:
    """`text`, with its middle left out where it is longer than `longest` characters."""
    if len(text) <= longest:
        return text
    tail = longest // 2
    return f"{text[: longest - tail - 1]}…{text[-tail:]}"


def ordered(found: Iterable[str], wanted: Sequence[str] | None = None) -> list[str]:
    """The distinct names in `found`: those in `wanted` first, in its order, then the others as they come."""
    found = list(dict.fromkeys(found))
    return [*(name for name in wanted or [] if name in found), *(name for name in found if name not in (wanted or []))]


def one_experiment(table: pd.DataFrame, settings: dict) -> tuple[pd.DataFrame, str]:
    """The rows of `settings["experiment"]` and its name. Raises UserError where the table has no such rows."""
    wanted = settings.get("experiment")
    rows = table[table["experiment"] == wanted]
    if rows.empty:
        known = ", ".join(dict.fromkeys(table["experiment"]))
        raise UserError(f"figure settings: `experiment` is {wanted}; set it to one that the table has: {known}.")
    return rows, wanted


def a_series_of_rates(rates: Iterable[float]) -> bool:
    """Whether sources differ by their corruption rate alone: at least three rates, each of them once.

    Only then is the rate an axis and a colour. With one spoiled source among others, or two sources of the same rate,
    other differences matter too and each source needs its own colour. An unknown rate (NaN) is no rate.
    """
    rates = list(rates)
    return len(rates) >= 3 and not np.isnan(rates).any() and len(set(rates)) == len(rates)


def percent(rate: float) -> str:
    """A rate between 0 and 1 as a percentage."""
    return f"{100 * rate:.3g}%"


def with_rate(source: str, rate: float) -> str:
    """The name of a source, and what part of it was spoiled if any was; NaN counts as none."""
    return f"{source}, {percent(rate)} spoiled" if rate > 0 else source


def panel_title(axes: Axes, text: str) -> None:
    """Title a panel, shortened to what fits above it."""
    across = axes.get_subplotspec().get_gridspec().ncols
    axes.set_title(short(text, int((axes.figure.get_size_inches()[0] / across - 0.5) * 13)))


def method_styles(methods: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each method."""
    others = [method for method in methods if method not in KNOWN_METHODS]
    cycle = {method: OTHER_METHODS[index % len(OTHER_METHODS)] for index, method in enumerate(others)}
    return {method: KNOWN_METHODS.get(method) or cycle[method] for method in methods}


def rate_colour(rate: float) -> str:
    """Colour of a corruption rate between 0 (dark) and 1 (light, yet visible on white)."""
    return matplotlib.colors.to_hex(matplotlib.colormaps["viridis"](0.88 * min(max(rate, 0.0), 1.0)))


def seed_band(rows: pd.DataFrame, value: str) -> pd.DataFrame:
    """Mean, min and max over seeds at the steps that every seed has; columns mean, min, max, indexed by step."""
    band = rows.groupby("step")[value].agg(["mean", "min", "max", "count"])
    return band[band["count"] == band["count"].max()]


def draw_interval(axes: Axes, position: float, values: Sequence[float], colour: str, horizontal: bool = False) -> None:
    """Mean as a heavy tick and its 95 % t-interval as a bar, across `position`; with one value only the tick."""
    interval = statistics.mean_interval(values)
    half = 0.16
    tick = ([position - half, position + half], [interval.mean] * 2)
    bar = ([position] * 2, [interval.low, interval.high])
    for (x, y), width in [(tick, 1.8)] + ([(bar, 1.0)] if interval.n > 1 else []):
        axes.plot(*((y, x) if horizontal else (x, y)), color=colour, linewidth=width, solid_capstyle="butt", zorder=3)


def share_intervals(shares: np.ndarray, settings: dict) -> list[statistics.Interval]:
    """95 % intervals of weights [seeds, sources], as the table `weight_intervals` has them. Settings: rows, validation_bootstrap."""
    smallest = compositions.smallest_share(settings["rows"])
    return compositions.share_intervals(shares, smallest, bool(settings.get("validation_bootstrap")))


def varied(settings: dict) -> str:
    """What the intervals of weights cover, in words for a note. Settings: validation_bootstrap."""
    return "seeds and validation rows" if settings.get("validation_bootstrap") else "seeds, on one validation set"


def jitter(count: int, width: float) -> np.ndarray:
    """`count` evenly spaced offsets within ±width/2, so that equal points stay visible; not random."""
    return np.linspace(-width / 2, width / 2, count) if count > 1 else np.zeros(1)


def checked(rows: pd.DataFrame) -> str:
    """What a title says of the gradient-match check: on how many runs it confirmed the weights; nothing if none was made."""
    runs = rows[rows["verdict"].notna() & (rows["verdict"] != "")].drop_duplicates(["method", "seed"])
    if runs.empty:
        return ""
    right = int((runs["verdict"] == "confirmed").sum())
    if right == len(runs):
        return " (confirmed)"
    return " (not confirmed)" if right == 0 else f" (confirmed on {right} of {len(runs)} runs)"


def leak(settings: dict) -> str:
    """What a title says where validation rows were left in training on purpose."""
    return " [leak allowed: a control]" if settings.get("leakage") == "allow" else ""


def appended(settings: dict) -> str:
    """What a title says where the final models were trained on the validation rows as well."""
    return " [trained on validation rows too]" if settings.get("append_validation") else ""


def several(counts: pd.Series) -> str:
    """Numbers of seeds in words: one number, or the least and the most."""
    return str(counts.max()) if counts.nunique() == 1 else f"{counts.min()} to {counts.max()}"


def marker(colour: str, shape: str, **options) -> Line2D:
    """A legend entry that shows one marker."""
    return Line2D([], [], linestyle="none", color=colour, marker=shape, **options)


def spread_out(wanted: Sequence[float], gap: float, low: float, high: float) -> np.ndarray:
    """Positions closest (least squares) to the increasing `wanted` ones, at least `gap` apart, inside [low, high].

    Pool-adjacent-violators on wanted − i·gap. When not all fit, the gap shrinks to what does.
    """
    count = len(wanted)
    gap = min(gap, (high - low) / max(count - 1, 1))
    pools: list[list[float]] = []
    for index, value in enumerate(wanted):
        pools.append([value - index * gap, 1.0])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            value, weight = pools.pop()
            pools[-1] = [
                (pools[-1][0] * pools[-1][1] + value * weight) / (pools[-1][1] + weight),
                pools[-1][1] + weight,
            ]
    flat = np.repeat([value for value, _ in pools], [int(weight) for _, weight in pools])
    return np.clip(flat, low, max(high - (count - 1) * gap, low)) + np.arange(count) * gap


def end_label(axes: Axes, y: float, text: str, colour: str, dashes: object = "-") -> Annotation:
    """A label right of the axes with a leader of the line's colour from height `y` (data); `spread_labels` moves it."""
    return axes.annotate(
        short(text),
        xy=(1, y),
        xycoords=axes.get_yaxis_transform(),
        xytext=(14, 0),
        textcoords="offset points",
        va="center",
        annotation_clip=False,
        fontsize=7.5,
        arrowprops={
            "arrowstyle": "-",
            "relpos": (0, 0.5),
            # By default the text's padded box hides the leader's end, which for a steep leader is well below the text.
            "patchA": None,
            "color": colour,
            "linewidth": 1.0,
            "linestyle": dashes,
            "shrinkA": 2,
            "shrinkB": 0,
        },
    )


def spread_labels(axes: Axes, labels: Sequence[Annotation]) -> None:
    """Move the labels apart, after the layout is final (`finish`); of labels that tie, the first stands highest."""
    points = axes.figure.dpi / 72
    box = axes.get_window_extent()
    heights = [float(axes.transData.transform((0, label.xy[1]))[1]) for label in labels]
    # Lines less than two points apart count as ties: their order by value could not be seen anyway.
    order = np.argsort(-np.round(np.divide(heights, 2 * points)), kind="stable")[::-1]
    placed = spread_out(np.sort(heights), 9.2 * points, box.y0, box.y1)
    for index, height in zip(order, placed, strict=True):
        labels[index].set_position((14, (height - heights[index]) / points))


def panels(count: int, rows: int, height: float, most: int = 3) -> tuple[Figure, list[list[Axes]]]:
    """A figure with `count` panels of `rows` stacked axes each, `most` panels side by side; axes[panel][row].

    `height` is of one axes, in inches. One panel takes one column's width, more take two.
    """
    across = min(count, most)
    blocks = -(-count // across)
    figure = Figure(figsize=(COLUMN if count == 1 else DOUBLE, height * rows * blocks), layout="constrained")
    grid = figure.subplots(rows * blocks, across, squeeze=False)
    axes = [[grid[index // across * rows + row][index % across] for row in range(rows)] for index in range(count)]
    for index in range(count, across * blocks):
        for row in range(rows):
            grid[index // across * rows + row][index % across].remove()
    return figure, axes


def _legend(figure: Figure, entries: list[tuple[Artist, str]], bottom: float) -> float:
    """Place a legend at `bottom` inches, in as many columns as fit; its height in inches."""
    width, height = figure.get_size_inches()
    for columns in range(len(entries), 0, -1):
        legend = figure.legend(
            [handle for handle, _ in entries],
            [short(label) for _, label in entries],
            loc="lower left",
            bbox_to_anchor=(0, bottom / height),
            ncols=columns,
            borderpad=0.2,
            borderaxespad=0,
        )
        box = legend.get_window_extent(figure.canvas.get_renderer())
        if box.width / figure.dpi <= width or columns == 1:
            return box.height / figure.dpi
        legend.remove()
    return 0.0


def finish(figure: Figure, settings: dict, title: str, note: str, entries: Sequence[tuple[Artist, str]] = ()) -> Figure:
    """Add title, legend, note and the study's name around the panels, make room for them and fix the layout.

    The figure grows by what they need, so the panels keep their height. `note` says what marks mean.
    """
    FigureCanvasAgg(figure)  # measures text; becomes the figure's canvas
    width, height = figure.get_size_inches()
    title_lines = textwrap.wrap(title, int(width * 13)) if title else []
    characters = int(width * 72 / (NOTE_SIZE * 0.56))
    note_lines = textwrap.wrap(note, characters)
    corner = f"study: {settings['study']}" if settings.get("study") else ""
    # The study's name shares the note's last line where both fit.
    own_line = bool(corner) and len(note_lines[-1]) + len(corner) + 4 > characters
    line = NOTE_SIZE * 1.3 / 72
    top = 0.03 + len(title_lines) * 0.15
    footer = 0.05 + line * (len(note_lines) + own_line)
    figure.set_size_inches(width, height + top + footer + 0.18 * bool(entries))
    legend = _legend(figure, list(entries), footer) + 0.06 if entries else 0.0
    height = height + top + footer + legend
    figure.set_size_inches(width, height)
    if entries:
        figure.legends[0].set_bbox_to_anchor((0.02 / width, footer / height))
    small = {"fontsize": NOTE_SIZE, "color": MUTED, "linespacing": 1.25}
    figure.text(0.05 / width, 1 - 0.04 / height, "\n".join(title_lines), va="top", fontsize=8.5, fontweight="bold")
    figure.text(0.05 / width, (0.03 + line * own_line) / height, "\n".join(note_lines), va="bottom", **small)
    figure.text(1 - 0.05 / width, 0.03 / height, corner, va="bottom", ha="right", **small)
    bottom = footer + legend
    figure.get_layout_engine().set(rect=(0, bottom / height, 1, 1 - (top + bottom) / height))
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure


def save(figure: Figure, pdf: str | Path, png: str | Path) -> None:
    """Write both files atomically and without dates, so that the same table gives the same bytes."""
    with replacing(pdf) as temporary:
        figure.savefig(temporary, format="pdf", metadata={"CreationDate": None, "Producer": None, "Creator": None})
    with replacing(png) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
