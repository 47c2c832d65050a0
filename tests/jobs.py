"""Small but real inputs for the training entry points, and a way to run these as a user or a rule would."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ["right", "half", "wrong"]
METHOD = {"kind": "scalebio", "steps": 12, "learning_rate": 1e-3, "per_source": 2, "validation_batch": 3, "ramp": 2}
FINETUNING = {"rows": 60, "batch": 4, "learning_rate": 1e-3}


def make_inputs(tiny, folder: Path) -> None:
    """A base model and a pool of sums, right, half right and wrong, in the layout the entry points read."""
    from scalebio import base_models, records
    from scalebio.files import write_json

    rng = np.random.default_rng(5)

    def rows(source: str, count: int, wrong: float) -> list:
        made = []
        for i, (a, b) in enumerate(rng.integers(0, 60, (count, 2)).tolist()):
            answer = 7 if rng.random() < wrong else a + b
            turns = [
                {"role": "user", "content": f"Calculate {a} + {b}."},
                {"role": "assistant", "content": str(answer)},
            ]
            made.append(records.Record(turns, source, i))
        return made

    train = [row for source, wrong in zip(SOURCES, (0, 0.5, 1), strict=True) for row in rows(source, 30, wrong)]
    records.write(folder / "train.parquet", train)
    records.write(folder / "validation.parquet", rows("held_out", 20, 0))
    records.write(folder / "mixture.parquet", rows("right", 60, 0))
    base_models.save(*tiny, folder / "base")
    write_json(folder / "base" / "provenance.json", {})


def weights_command(
    folder: Path, out: Path, *more: str, method: dict | None = None, lisa: dict | None = None, lora: dict | None = None
) -> list[str]:
    """The command that learns weights from the inputs in `folder` into `out`."""
    settings = {"experiment": "sums", "method": "scalebio", "settings": METHOD | (method or {}), "seed": 0}
    settings |= {"sources": SOURCES, "max_length": 64, "lisa": lisa, "lora": lora}
    return [
        *("scripts/learn_weights.py", "--settings", json.dumps(settings), "--model", f"{folder}/base/provenance.json"),
        *("--train", f"{folder}/train.parquet", "--validation", f"{folder}/validation.parquet"),
        *("--output", f"{out}/weights.json", "--trajectory", f"{out}/trajectory.parquet"),
        *("--row-scores", f"{out}/row_scores.parquet", *more),
    ]


def finetune_command(
    folder: Path, out: Path, *more: str, lisa: dict | None = None, lora: dict | None = None, epochs: int = 1
) -> list[str]:
    """The command that fine-tunes on the inputs in `folder` into `out`."""
    settings = {"run": "sums", "finetuning": FINETUNING | {"epochs": epochs}, "seed": 0, "max_length": 64}
    settings |= {"lisa": lisa, "lora": lora}
    return [
        *("scripts/finetune.py", "--settings", json.dumps(settings), "--model", f"{folder}/base/provenance.json"),
        *("--mixture", f"{folder}/mixture.parquet", "--validation", f"{folder}/validation.parquet"),
        *("--output", f"{out}/model/provenance.json", "--training", f"{out}/training.parquet", *more),
    ]


def start(command: list[str], *launcher: str) -> subprocess.Popen:
    """Start a command of this repository in a process group of its own; `launcher` stands in for `python`."""
    environment = {key: value for key, value in os.environ.items() if key not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    return subprocess.Popen(
        [*(launcher or (sys.executable,)), *command],
        cwd=ROOT,
        env=environment | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def run(command: list[str], *launcher: str, status: int = 0) -> str:
    """Run a command to its end; its output. Fails unless it ends with `status`."""
    process = start(command, *launcher)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == status, output
    return output
