"""The measurements of one run in one process group, as a table: one child process after another, variants in turn.

Rounds go through all variants before any is measured again, so that a neighbour on the machine that comes or goes meets
all of them; every child has one thread. Ratios are to `released` on the same shape.
"""

import statistics
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from scalebio.bench import measure
from scalebio.bench.child import run_child
from scalebio.bench.names import ABOUT, SHAPES
from scalebio.errors import UserError
from scalebio.tables.readable import Document, document, grid, name, number

COLUMNS = ["shape", "variant", "cpu_seconds", "peak_mb", "time_ratio", "memory_ratio", "steps"]
ENTRY = Path(__file__).resolve().parents[2] / "bench_step.py"


def in_child(shape: str, variant: str, first: int, count: int) -> dict:
    """`measure.measure` in a process of its own. Raises UserError with its last words if it fails."""
    return run_child(ENTRY, shape, variant, first, count, what=f"{variant} on {shape}")


def run(
    wanted: dict[str, list[str]],
    rounds: int,
    steps: int,
    child: Callable[..., dict] = in_child,
    progress: Callable[[str], None] = lambda text: None,
) -> pd.DataFrame:
    """Measure the variants of each shape in `wanted` over `rounds` of `steps` steps each; columns as COLUMNS.

    Every round has batches of its own, the same for all variants. `cpu_seconds` is the median over all steps, `peak_mb`
    the largest over the rounds, `steps` how many were measured.
    """
    if rounds * steps < 3:
        raise UserError(f"bench: {rounds} rounds of {steps} steps are too few for a median; measure at least 3 steps.")
    rows = []
    for shape, variants in wanted.items():
        found = {variant: [] for variant in variants}
        for turn in range(rounds):
            for variant in variants:
                seen = child(shape, variant, measure.WARM_UP + turn * (measure.WARM_UP + steps), steps)
                found[variant].append(seen)
                text = ", ".join(f"{seconds:.2f}" for seconds in seen["seconds"])
                progress(f"{shape} {variant}: {text} CPU seconds a step, {seen['peak_mb']:.0f} MB")
        for variant, seen in found.items():
            seconds = [value for one in seen for value in one["seconds"]]
            rows.append(
                {
                    "shape": shape,
                    "variant": variant,
                    "cpu_seconds": statistics.median(seconds),
                    "peak_mb": max(one["peak_mb"] for one in seen),
                    "steps": len(seconds),
                }
            )
    table = pd.DataFrame(rows)
    released = table[table["variant"] == "released"].set_index("shape")
    for ratio, quantity in (("time_ratio", "cpu_seconds"), ("memory_ratio", "peak_mb")):
        table[ratio] = table[quantity] / table["shape"].map(released[quantity])
    return table[COLUMNS]


def summary(table: pd.DataFrame) -> Document:
    """The table for readers, one section a shape."""
    header = ["variant", "CPU s", "MB", "time ratio", "memory ratio"]
    sections = []
    for shape, part in table.groupby("shape", sort=False):
        rows = [
            [f"{name(row.variant)} ({ABOUT[row.variant]})", number(row.cpu_seconds, 2), number(row.peak_mb, 0)]
            + [number(row.time_ratio, 3), number(row.memory_ratio, 3)]
            for row in part.itertuples()
        ]
        sections.append((SHAPES[shape], grid(header, rows)))
    text = "Median CPU time and largest resident memory; ratios are to the released step on the same shape."
    return document("One outer step, CPU time and memory", text, sections)
