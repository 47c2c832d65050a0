"""What a reader sees of each table, in Markdown and LaTeX: the same numbers, summed up over seeds.

What the pieces look like is in `readable`; the tables that have a module of their own describe themselves there.
"""

from pathlib import Path

import pandas as pd

from scalebio import statistics
from scalebio.tables import tidy
from scalebio.tables.ablations import readable as ablations
from scalebio.tables.benchmark_summary import math, math_differences, mtbench, mtbench_differences, mtbench_repeats
from scalebio.tables.comparison import readable as method_comparison
from scalebio.tables.gates import readable as gates
from scalebio.tables.hyperparameters import readable as hyperparameters
from scalebio.tables.intervals import readable as weight_intervals
from scalebio.tables.memory import readable as memory
from scalebio.tables.readable import (
    LOSS_UNIT,
    MISSING,
    Document,
    Grid,
    document,
    grid,
    mean_and_range,
    name,
    number,
    span,
    strong,
)
from scalebio.tables.runs import STEPS_KEPT
from scalebio.tables.sources import readable as sources
from scalebio.tables.training_costs import readable as training_costs

BASELINE = "uniform"
TRAINED_ON_VALIDATION = (
    "Every model was trained on the validation rows as well (append_validation); test rows are others."
)
LEAK_ALLOWED = "Validation or test rows may stand in training here (leakage: allow): a control, no result."


def _by_experiment(frame: pd.DataFrame):
    return frame.groupby("experiment", sort=False)


def trajectories(frame: pd.DataFrame) -> Document:
    """First and last weight of every source."""
    sections = []
    for experiment, part in _by_experiment(frame):
        rows = []
        for (method, source), lines in part.groupby(["method", "source"], sort=False):
            first = lines[lines["step"] == lines.groupby("seed")["step"].transform("min")]["weight"]
            last = lines[lines["step"] == lines.groupby("seed")["step"].transform("max")]["weight"]
            rows.append(
                [name(source), name(method), str(lines["step"].max()), number(first.mean()), *mean_and_range(last)]
            )
        header = ["source", "method", "last step", "first weight", "last weight (mean)", "last weight (min … max)"]
        sections.append((name(experiment), grid(header, rows, left=2)))
    text = f"Weight of each source over the outer steps, at most {STEPS_KEPT} steps a run."
    return document("Source weights over steps", f"{text} Range: smallest and largest over seeds.", sections)


def weights(frame: pd.DataFrame) -> Document:
    """Final weights: mean and range over seeds; what was planted only in studies that planted something."""
    sections, planted = [], bool(frame[["corruption", "expected"]].notna().any(axis=None))
    for experiment, part in _by_experiment(frame):
        rows = [
            [
                name(source),
                name(method),
                *[number(lines["corruption"].iloc[0], 2), number(lines["expected"].iloc[0], 3)] * planted,
                *mean_and_range(lines["weight"]),
                span(lines["low"].iloc[0], lines["high"].iloc[0]),
                str(len(lines)),
                verdicts(lines["verdict"]),
            ]
            for (method, source), lines in part.groupby(["method", "source"], sort=False)
        ]
        header = ["source", "method", *["corruption", "expected"] * planted, "weight (mean)", "weight (min … max)"]
        header += ["95 % interval", "seeds", "check"]
        leak = strong(LEAK_ALLOWED) if (part["leakage"] == "allow").any() else ""
        sections.append((name(experiment), grid(header, rows, leak, left=2)))
    text = (
        "Share of each source in the learned mixture. Range: smallest and largest over seeds (not an interval); the interval is "
        f"explained in the table {name('weight_intervals')}. "
    )
    if planted:
        text += (
            "Corruption (share of answers spoiled on purpose) and expected weight are planted, never shown to a method; a dash: "
            "none planted in this experiment. "
        )
    text += "Check: on how many seeds the gradient-match check confirmed the weights of the run (docs/method.md); a dash: not checked."
    return document("Final source weights", text, sections)


def peak_memory(frame: pd.DataFrame) -> Document:
    """Largest memory while weights were learned: mean and range over seeds."""
    rows = [
        [name(experiment), name(method), *mean_and_range(lines["peak_gb"], 3), str(len(lines))]
        for (experiment, method), lines in frame.groupby(["experiment", "method"], sort=False)
    ]
    text = (
        "GB (a billion bytes), as the first process measured it: what torch held on a GPU, or on a CPU resident memory, which "
        "includes some half GB of imports. Range: smallest and largest over seeds."
    )
    header = ["experiment", "method", "peak (mean)", "peak (min … max)", "seeds"]
    return document("Peak memory of learning weights", text, [("All experiments", grid(header, rows, left=2))])


def verdicts(values: pd.Series) -> str:
    """How many of the runs' checks confirmed their weights; a dash where none was made."""
    made = values[values != ""]
    return f"{(made == 'confirmed').sum()} of {len(made)} confirmed" if len(made) else MISSING


def _against_baseline(part: pd.DataFrame, quantity: str, lower_is_better: bool) -> Grid:
    values = {
        method: lines.set_index("seed")[quantity].dropna().to_dict()
        for method, lines in part.groupby("method", sort=False)
    }
    base = values.get(BASELINE, {})
    rows = []
    for method, by_seed in values.items():
        if not by_seed:
            continue
        mean = statistics.mean_interval(list(by_seed.values()))
        cells = [name(method), str(mean.n), number(mean.mean), span(mean.low, mean.high)]
        cells.append(number(statistics.spread(list(by_seed.values()))))
        if method == BASELINE or not set(by_seed) & set(base):
            cells += [MISSING] * 4
        else:
            gap = statistics.paired_difference(by_seed, base, lower_is_better=lower_is_better)
            beyond = statistics.exceeds_spread(list(by_seed.values()), list(base.values()))
            cells += [number(gap.mean, sign=True), span(gap.low, gap.high, sign=True), gap.verdict]
            cells.append("one seed" if gap.n == 1 else ("yes" if beyond else "no"))
        rows.append(cells)
    header = ["method", "seeds", "mean", "95 % interval", "spread over seeds", f"minus {name(BASELINE)}"]
    return grid([*header, "95 % interval of that", "verdict", "gap exceeds spread"], rows)


def test_loss(frame: pd.DataFrame) -> Document:
    """Test loss and accuracy of every method against the baseline."""
    sections = []
    for experiment, part in _by_experiment(frame):
        sections.append((f"{name(experiment)}: test loss", _against_baseline(part, "test_loss", True)))
        if part["accuracy"].notna().any():
            sections.append((f"{name(experiment)}: accuracy", _against_baseline(part, "accuracy", False)))
    text = (
        f"Test loss in {LOSS_UNIT} (lower is better) and task accuracy (share of right answers, higher is better). "
        "Intervals: Student t over seeds; differences are paired by seed; the verdict says whether their interval "
        "leaves out zero. Last column: whether the gap of the means exceeds the larger spread (max − min) over seeds."
    )
    if (frame["trained_on"] == "validation").any():
        text += f" {strong(TRAINED_ON_VALIDATION)}"
    return document("Test loss by method", text, sections)


def training_curves(frame: pd.DataFrame) -> Document:
    """First, lowest and last loss of every line."""
    sections = []
    for experiment, part in _by_experiment(frame):
        rows = []
        for (stage, method, split), lines in part.groupby(["stage", "method", "split"], sort=False):
            ordered = lines.sort_values("step", kind="stable").groupby("seed")["loss"]
            means = [ordered.first().mean(), ordered.min().mean(), ordered.last().mean()]
            rows.append([stage, name(method), split, str(lines["step"].max()), *(number(value) for value in means)])
        header = ["stage", "method", "split", "last step", "first loss", "lowest loss", "last loss"]
        sections.append((name(experiment), grid(header, rows, left=3)))
    text = (
        f"Losses in {LOSS_UNIT}, means over seeds; at most {STEPS_KEPT} steps a line. "
        "Reweighting: L1 is the validation loss of w, L2_w and L2_u the weighted training losses of w and u."
    )
    return document("Losses over steps", text, sections)


def mixtures(frame: pd.DataFrame) -> Document:
    """Asked and realised shares, mean over seeds."""
    sections = []
    for experiment, part in _by_experiment(frame):
        rows = []
        for (method, source), lines in part.groupby(["method", "source"], sort=False):
            shares = [number(lines[column].mean()) for column in ("asked_share", "row_share", "token_share")]
            counts = [
                f"{lines[column].mean():.1f}" for column in ("rows", "capped_rows", "truncated", "available_rows")
            ]
            rows.append([name(source), name(method), *shares, *counts, f"{lines['max_repeats'].max():.0f}"])
        header = [
            "source",
            "method",
            "asked share",
            "row share",
            "token share",
            "rows",
            "capped",
            "truncated",
            "available",
        ]
        header.append("most repeats")
        sections.append((name(experiment), grid(header, rows, left=2)))
    text = (
        "What the drawn mixture holds: the share asked for by the weights, the share it got in rows and in tokens "
        f"(means over seeds), how many rows {name('max_repeat')} kept back and other sources gave instead (capped) and how many of the rows "
        "were cut at the model's max_length (truncated; both means over seeds), and "
        "how often its most repeated row stands in it (largest over seeds)."
    )
    return document("Mixtures asked and drawn", text, sections)


def transfer(frame: pd.DataFrame) -> Document:
    """Agreement of weights learned with two models, and the regret of using the one's for the other."""
    rows = []
    for row in frame.itertuples():
        what = f"{name(row.experiment)}: {name(row.model)} → {name(row.for_model)}"
        agreement = [number(value, 3) for value in (row.spearman, row.kendall, row.total_variation, row.seed_variation)]
        regret = [number(row.regret, sign=True), span(row.low, row.high, sign=True), row.verdict or MISSING, str(row.n)]
        rows.append(
            [
                what,
                name(row.method),
                *agreement,
                str(row.seeds),
                *regret,
                row.changed or MISSING,
                row.cannot_say or MISSING,
            ]
        )
    header = ["weights of → for", "method", "Spearman", "Kendall", "total variation", "between seeds", "seeds"]
    header += ["regret", "95 % interval", "verdict", "pairs", "changed", "cannot say"]
    text = (
        "How much the weights that two models learned on the same sources and reference agree, and what is lost by training "
        "the second model on those of the first. Rank correlations and total variation (share of the mixture that would have "
        "to move) are of mean weights over seeds; between seeds: mean total variation of two seeds of one model, the larger "
        "of the two models' (with no more than that, models differ no more than seeds do). Regret: test loss "
        f"({LOSS_UNIT}) with transferred weights minus that with the model's own, paired by seed; positive: transfer costs. "
        "Changed: chat template or tokenizer, where the second model reads rows by another than the first, and took its weights."
    )
    return document("Transfer of weights between models", text, [("All pairs", grid(header, rows, left=2))])


def costs(frame: pd.DataFrame) -> Document:
    """Jobs, time and memory of every stage and in total."""
    sums = ("jobs", "seconds", "cpu_seconds")
    total = {"stage": "all", **{key: frame[key].sum() for key in sums}, "max_memory_mb": frame["max_memory_mb"].max()}
    rows = [
        [line["stage"] if line is total else name(line["stage"]), f"{line['jobs']:.0f}"]
        + [number(line["seconds"], 1), number(line["cpu_seconds"], 1), number(line["max_memory_mb"], 0)]
        for line in [*frame.to_dict("records"), total]
    ]
    text = "Wall-clock and processor seconds summed over jobs, and the largest resident memory of any job; measured by Snakemake."
    header = ["stage", "jobs", "seconds", "CPU seconds", "largest memory (MB)"]
    return document("Time and memory by stage", text, [("All stages", grid(header, rows))])


OWN_MODULES = {
    "ablations": ablations,
    "gates": gates,
    "hyperparameters": hyperparameters,
    "math": math,
    "math_differences": math_differences,
    "mtbench": mtbench,
    "mtbench_differences": mtbench_differences,
    "mtbench_repeats": mtbench_repeats,
    "weight_intervals": weight_intervals,
    "memory": memory,
    "method_comparison": method_comparison,
    "sources": sources,
    "training_costs": training_costs,
}

# Columns that are text in these tables, besides those that are in every table; "all" stands among the seeds of differences.
TEXT = {
    "ablations": {"value"},
    "hyperparameters": {"setting", "value"},
    "math_differences": {"seed"},
    "memory": {"job", "trains", "own"},
    "mtbench_differences": {"seed"},
    "mtbench": {"seed"},
    "mtbench_repeats": {"seed"},
    "sources": {"experiments", "roles", "kind", "origin", "revision", "pinned", "gated", "licence"},
}


def read_back(table: str, path: str | Path) -> pd.DataFrame:
    """The CSV file of `table` as it was before it was written. Raises UserError for a file that cannot be read."""
    return tidy.read_csv(path, [], text=TEXT.get(table, ()))


def render(table: str, frame: pd.DataFrame) -> Document:
    """`table` for readers."""
    return (OWN_MODULES.get(table) or globals()[table])(frame)
