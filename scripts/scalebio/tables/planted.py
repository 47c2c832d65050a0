"""The table of the planted tasks: one row a task, base, method and seed, and a readable summary by method."""

import pandas as pd

from scalebio.tables.readable import MISSING, Document, document, grid, number

COLUMNS = [
    "task",
    "base",
    "method",
    "seed",
    "weights",
    "tv",
    "regret",
    "gap_closed",
    "test_loss",
    "check_ratio",
    "verdict",
    "cpu_seconds",
]


def tidy(rows: list[dict]) -> pd.DataFrame:
    """The rows of `planted_runs.measure` in one frame; weights as text, `0.7 0.3 0 0`."""
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.assign(weights=[" ".join(f"{weight:.4g}" for weight in weights) for weights in frame["weights"]])


def by_seed(values: pd.Series) -> str:
    """Values of the seeds side by side, three digits; – where not measured."""
    return " ".join(number(value, 3) for value in values)


def summary(frame: pd.DataFrame) -> Document:
    """One line a task, base and method, the seeds side by side in the order of the frame."""
    seeds = ", ".join(map(str, dict.fromkeys(frame["seed"])))
    text = (
        "tv: total variation to the planted shares. Regret: test loss of a model trained on the weights, from the best of "
        "a small grid (0) to equal weights (1). Gap closed: from equal weights to the planted ones. Check: the "
        "gradient-match ratio; c: confirmed, n: not confirmed."
    )
    marks = {"confirmed": "c", "not confirmed": "n"}
    rows = []
    for (task, base, method), part in frame.groupby(["task", "base", "method"], sort=False):
        checks = [
            f"{MISSING if pd.isna(ratio) else f'{ratio:.2f}'} {marks[verdict]}"
            for ratio, verdict in zip(part["check_ratio"], part["verdict"], strict=True)
            if verdict in marks
        ]
        trained = part["regret"].notna().any()
        rows.append(
            [
                f"{task}, {base} base",
                method,
                by_seed(part["tv"]),
                by_seed(part["regret"]) if trained else "",
                f"{part['regret'].mean():.3f}" if trained else "",
                by_seed(part["gap_closed"]) if trained else "",
                "; ".join(checks),
                f"{part['cpu_seconds'].mean():.1f}",
            ]
        )
    header = ["task", "method", "tv", "regret", "mean regret", "gap closed", "check", "CPU s"]
    return document(f"Planted tasks, seeds {seeds}", text, [("All tasks", grid(header, rows, left=2))])
