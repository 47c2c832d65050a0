"""From the files of single runs to tidy tables: one function a table, data in, DataFrame out.

A run is one experiment × method × seed. Every function but `costs` takes a list of (run, data) in the order the
rows shall have. The data have been checked by `inputs`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from scalebio.errors import UserError
from scalebio.tables import intervals

STEPS_KEPT = 200
IDENTITY = ["experiment", "method", "seed"]
MIXTURE_FIELDS = {
    "asked": "asked_share",
    "rows": "rows",
    "share": "row_share",
    "tokens": "tokens",
    "token_share": "token_share",
    "repeats": "max_repeats",
    "available": "available_rows",
    "capped": "capped_rows",
}


@dataclass(frozen=True)
class Run:
    """Who made a file: an experiment, a method and a seed."""

    experiment: str
    method: str
    seed: int

    @property
    def columns(self) -> dict:
        """The identity columns that every row of this run carries."""
        return {"experiment": self.experiment, "method": self.method, "seed": self.seed}


def thin(steps: Iterable[int], keep: int = STEPS_KEPT) -> list[int]:
    """At most `keep` of the distinct steps, evenly spaced in their order, the first and the last among them."""
    steps = sorted(set(steps))
    if len(steps) <= keep:
        return steps
    return [steps[index] for index in np.unique(np.linspace(0, len(steps) - 1, keep).round().astype(int))]


def _stack(frames: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    return (
        pd.concat([frame[columns] for frame in frames], ignore_index=True) if frames else pd.DataFrame(columns=columns)
    )


def verdict(data: dict) -> str:
    """The verdict of a run's gradient-match check in weights.json; empty where none was made."""
    return data.get("check", {}).get("verdict", "")


def trajectories(runs: list[tuple[Run, pd.DataFrame]], weights: list[tuple[Run, dict]] = ()) -> pd.DataFrame:
    """Weight of every source over the outer steps, at most STEPS_KEPT of them a run, and the verdict on its last.

    Takes trajectory.parquet: step, source (null for run-level rows), quantity, value; and weights.json.
    """
    frames, verdicts = [], {run: verdict(data) for run, data in weights}
    for run, data in runs:
        rows = data[(data["quantity"] == "weight") & data["source"].notna()]
        rows = rows[rows["step"].isin(thin(rows["step"]))].rename(columns={"value": "weight"})
        frames.append(rows.assign(**run.columns, verdict=verdicts.get(run, "")))
    return _stack(frames, [*IDENTITY, "step", "source", "weight", "verdict"])


def planted(truth: dict[str, float] | None, sources: Iterable[str]) -> dict[str, float]:
    """The planted number of each source: as given, 0 for a source that is left out, NaN for all where none is given.

    Left out means 0 for both kinds of truth: nothing of that source was spoiled, and expected shares sum to 1 without
    it (`scalebio.study_checks` sees to that).
    """
    return {source: float(truth.get(source, 0.0)) if truth else np.nan for source in sources}


def weights(runs: list[tuple[Run, dict]], experiments: dict[str, dict]) -> pd.DataFrame:
    """Final weight of every source beside its planted corruption rate and expected weight, empty where there is none.

    Takes weights.json and {experiment: {"sources", "corruption", "expected", "leakage", "rows", "validation_bootstrap"}}.
    Neither truth is inferred from the other: spoiled sources say nothing about the shares that the rest should get. `verdict` is
    that of the run's gradient-match check, empty where none was made; `leakage` is `allow` where validation rows may stand in
    training; `low`, `high`: the interval of the source over the seeds of the method (`compositions`), on each of its rows.
    """
    rows = []
    for run, data in runs:
        facts = experiments.get(run.experiment, {})
        learned = data["weights"]
        sources = [*facts.get("sources", []), *(name for name in learned if name not in facts.get("sources", []))]
        corruption = planted(facts.get("corruption"), sources)
        expected = planted(facts.get("expected"), sources)
        for source in sources:
            if source not in learned:
                raise UserError(
                    f"weights of {run.experiment}/{run.method}/seed{run.seed}: no weight for source {source}; "
                    f"found {', '.join(learned)}. The sources of the experiment changed: run its weights again."
                )
            values = {"weight": float(learned[source]), "corruption": corruption[source], "expected": expected[source]}
            values |= {"verdict": verdict(data), "leakage": facts.get("leakage", "")}
            rows.append({**run.columns, "source": source, **values})
    columns = [*IDENTITY, "source", "weight", "corruption", "expected", "verdict", "leakage"]
    return intervals.beside(pd.DataFrame(rows, columns=columns), experiments)


def weight_intervals(runs: list[tuple[Run, dict]], experiments: dict[str, dict]) -> pd.DataFrame:
    """Interval, test and effect on the mixture of the weights of every method; takes what `weights` takes."""
    return intervals.table(weights(runs, experiments), experiments)


def peak_memory(runs: list[tuple[Run, pd.DataFrame]]) -> pd.DataFrame:
    """Largest memory (GB) of the first process while weights were learned; no row for a method that records no steps.

    Takes trajectory.parquet. On a GPU what torch held there, else resident memory with everything that Python has loaded.
    """
    rows = [
        {**run.columns, "peak_gb": float(peaks.max())}
        for run, data in runs
        if len(peaks := data["value"][data["quantity"] == "peak_memory_gb"])
    ]
    return pd.DataFrame(rows, columns=[*IDENTITY, "peak_gb"])


def test_loss(runs: list[tuple[Run, dict]]) -> pd.DataFrame:
    """Test loss (nats per answer token) and task accuracy (share of 1, empty where not measured) of every run.

    `trained_on`: `validation` where the validation rows were added to the mixture, else empty.
    """
    rows = [
        {
            **run.columns,
            "test_loss": float(data["test_loss"]),
            "accuracy": data.get("accuracy"),
            "trained_on": "validation" if data.get("trained_on_validation") else "",
        }
        for run, data in runs
    ]
    frame = pd.DataFrame(rows, columns=[*IDENTITY, "test_loss", "accuracy", "trained_on"])
    return frame.astype({"accuracy": float})


def training_curves(
    finetuning: list[tuple[Run, pd.DataFrame]], reweighting: list[tuple[Run, pd.DataFrame]]
) -> pd.DataFrame:
    """Losses over steps (nats per answer token), at most STEPS_KEPT steps for each line.

    `finetuning` takes training.parquet (splits training, validation), `reweighting` takes trajectory.parquet
    (L1: validation loss of w; L2_w, L2_u: weighted training loss of w and u).
    """
    frames = []
    for run, data in finetuning:
        frames.append(data.assign(stage="finetuning", **run.columns))
    for run, data in reweighting:
        rows = data[data["quantity"].isin(["L1", "L2_w", "L2_u"]) & data["source"].isna()]
        rows = rows.rename(columns={"quantity": "split", "value": "loss"})
        frames.append(rows.assign(stage="reweighting", **run.columns))
    columns = [*IDENTITY, "stage", "split", "step", "loss"]
    kept = [
        lines[lines["step"].isin(thin(lines["step"]))]
        for frame in frames
        for _, lines in frame[columns].groupby("split", sort=False)
    ]
    return _stack(kept, columns)


def mixtures(runs: list[tuple[Run, dict]]) -> pd.DataFrame:
    """Asked and realised share of every source in the drawn mixture, in rows and in tokens, its repeats, how many rows
    `max_repeat` kept back (`capped_rows`), and how many of its rows were cut at the model's max_length (`truncated`).
    """
    rows = [
        {
            **run.columns,
            "source": source,
            **{column: facts[key] for key, column in MIXTURE_FIELDS.items()},
            "truncated": data["truncated"][source],
        }
        for run, data in runs
        for source, facts in data["sources"].items()
    ]
    return pd.DataFrame(rows, columns=[*IDENTITY, "source", *MIXTURE_FIELDS.values(), "truncated"])


def measured(benchmarks: list[pd.DataFrame]) -> dict[str, float]:
    """Summed wall-clock and processor seconds and largest resident memory (MB) of Snakemake's benchmarks.

    Processor time and memory are NaN where all jobs were too short to be sampled.
    """

    def column(key: str) -> pd.Series:
        return pd.concat([pd.to_numeric(frame[key], errors="coerce") for frame in benchmarks])

    return {
        "seconds": float(column("s").sum()),
        "cpu_seconds": float(column("cpu_time").sum(min_count=1)),
        "max_memory_mb": float(column("max_rss").max()),
    }


def costs(benchmarks: list[tuple[str, pd.DataFrame]]) -> pd.DataFrame:
    """Jobs and what is `measured` of every stage, in the order they come. Takes (stage, Snakemake benchmark)."""
    rows = []
    for stage in dict.fromkeys(stage for stage, _ in benchmarks):
        frames = [frame for name, frame in benchmarks if name == stage]
        rows.append({"stage": stage, "jobs": len(frames), **measured(frames)})
    return pd.DataFrame(rows, columns=["stage", "jobs", "seconds", "cpu_seconds", "max_memory_mb"])
