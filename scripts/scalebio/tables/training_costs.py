"""The table of training costs: time, memory and tokens of finding weights and of fine-tuning, by model and method.

Time and memory are Snakemake's benchmarks of the jobs, so they hold everything a job does, loading included; tokens are those
that the jobs counted. All stages together are in the table of costs.
"""

from math import nan

import pandas as pd

from scalebio.tables import runs
from scalebio.tables.readable import Document, document, grid, name, number
from scalebio.tables.runs import Run

COLUMNS = ["experiment", "model", "method", "stage", "jobs", "seconds", "cpu_seconds", "gpus", "gpu_seconds"]
COLUMNS += ["max_memory_mb", "max_gpu_memory_gb", "forward_tokens", "tokens_per_second"]


def table(found: dict[str, list[tuple[Run, object]]], experiments: dict[str, dict], epochs: int) -> pd.DataFrame:
    """One row an experiment, method and stage (`weights`, `finetuning`); means over its jobs, largest memory of any.

    `found`: by kind of file, (run, content): weights, finetuned, mixture, trajectory, learning and tuning (benchmarks).
    `experiments`: {name: {"model"}}. `gpus` is how many a job held, 0 on CPUs; `gpu_seconds` their time together;
    `forward_tokens` went forward through any model; `tokens_per_second` of the whole job. Runs with weights of another
    experiment have no row of weights.
    """
    data = {kind: dict(entries) for kind, entries in found.items()}
    rows = []
    for stage, kind in (("weights", "learning"), ("finetuning", "tuning")):
        for (experiment, method), own in _by_method(data[kind]).items():
            measured = runs.measured([data[kind][run] for run in own])
            if stage == "weights":
                tokens = [data["weights"][run]["cost"]["forward_tokens"] for run in own]
                facts = [data["weights"][run]["provenance"] for run in own]
            else:
                tokens = [_trained(data["mixture"][run]) * epochs for run in own]
                facts = [data["finetuned"][run]["provenance"] for run in own]
            gpus = max(_gpus(one) for one in facts)
            seconds, mean = measured["seconds"] / len(own), sum(tokens) / len(own)
            rows.append(
                {
                    "experiment": experiment,
                    "model": experiments[experiment]["model"],
                    "method": method,
                    "stage": stage,
                    "jobs": len(own),
                    "seconds": seconds,
                    "cpu_seconds": measured["cpu_seconds"] / len(own),
                    "gpus": gpus,
                    "gpu_seconds": gpus * seconds,
                    "max_memory_mb": measured["max_memory_mb"],
                    "max_gpu_memory_gb": max(
                        (_peak(data["trajectory"][run]) for run in own if gpus and stage == "weights"), default=nan
                    ),
                    "forward_tokens": mean,
                    "tokens_per_second": mean / seconds if mean else nan,
                }
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def _by_method(found: dict[Run, object]) -> dict[tuple[str, str], list[Run]]:
    groups = {}
    for run in found:
        groups.setdefault((run.experiment, run.method), []).append(run)
    return groups


def _trained(mixture: dict) -> int:
    return sum(facts["tokens"] for facts in mixture["sources"].values())


def _gpus(provenance: dict) -> int:
    return provenance.get("world_size", 1) if str(provenance.get("device", "cpu")).startswith("cuda") else 0


def _peak(trajectory: pd.DataFrame) -> float:
    """Largest memory of a GPU that the steps recorded, GB; NaN where the method records none."""
    return trajectory[trajectory["quantity"] == "peak_memory_gb"]["value"].max()


def readable(frame: pd.DataFrame) -> Document:
    """A section a model: finding weights and fine-tuning, method by method."""
    header = ["experiment", "method", "stage", "seconds", "CPU seconds", "GPU seconds", "largest memory (MB)"]
    header += ["of a GPU (GB)", "tokens", "tokens/s", "jobs"]
    sections = []
    for model, part in frame.groupby("model", sort=False):
        rows = [
            [name(row.experiment), name(row.method), row.stage, number(row.seconds, 1), number(row.cpu_seconds, 1)]
            + [number(row.gpu_seconds, 0), number(row.max_memory_mb, 0), number(row.max_gpu_memory_gb, 1)]
            + [f"{row.forward_tokens:,.0f}", number(row.tokens_per_second, 0), str(row.jobs)]
            for row in part.itertuples()
        ]
        sections.append((f"Model {name(model)}", grid(header, rows, left=3)))
    text = (
        "A job's mean over seeds: wall-clock and processor seconds as Snakemake measured them, loading and checks included; GPU "
        "seconds: GPUs held × wall-clock. Largest memory of any job: resident, and of a GPU where the steps recorded it. Tokens "
        "went forward through any model; all but a few also went backward. Methods that learn nothing have none."
    )
    return document("Costs of training by model and method", text, sections)
