"""Predicted against measured peak memory: real steps of the engine, each run in processes of its own.

A run has a shape with random weights, a job, a way to train, and its processes; it makes two steps of several passes each on
rows of random tokens. Measured is the largest resident memory of the process that held most, and what of it came after
imports and a step of a minuscule model. LISA draws its layers as in a study, once.
"""

import gc
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scalebio.bench.child import run_child
from scalebio.bench.measure import peak_mb, resident_mb
from scalebio.config import Hardware, Lisa, Lora, sections
from scalebio.launching import launch_line

ENTRY = Path(__file__).resolve().parents[1] / "measure_memory.py"
COLUMNS = ["run", "model", "job", "trains", "processes", "sharing", "predicted_mb", "measured_mb", "ratio"]
COLUMNS += ["base_mb", "predicted_above_mb", "measured_above_mb", "ratio_above"]
SHAPES = {
    "minuscule": {"vocab_size": 64, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 4}
    | {"num_attention_heads": 2},
    # 24 million parameters, 96 MB
    "wide": {"vocab_size": 8192, "hidden_size": 512, "intermediate_size": 1408, "num_hidden_layers": 6}
    | {"num_attention_heads": 8, "tie_word_embeddings": True},
    # as config.json of SmolLM2-135M states it
    "smollm2-135m": {"vocab_size": 49_152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30}
    | {"num_attention_heads": 9, "num_key_value_heads": 3, "tie_word_embeddings": True},
}
# In the second, states are there already while gradients are made.
STEPS = 2
TRAINS = {"full": None, "LISA": Lisa(layers=2, interval=STEPS), "LoRA": Lora(rank=16, alpha=32)}
MODELS = {"reweighting": 2, "fine-tuning": 1}


@dataclass(frozen=True)
class Run:
    """One measurement: `rows` of `tokens` tokens in a pass of each process; a step makes two passes or more."""

    model: str
    job: str
    trains: str
    processes: int = 1
    shard: bool = False
    recompute: bool = False
    rows: int = 2
    tokens: int = 128

    @property
    def name(self) -> str:
        """All that tells it from the others."""
        return " ".join([self.model, self.job, self.trains, *([self.sharing] if self.sharing else [])])

    @property
    def sharing(self) -> str:
        """How its processes share the work, and what else is unlike the plain run."""
        many = f"{self.processes} {'sharded' if self.shard else 'replicated'}" if self.processes > 1 else ""
        return ", ".join(filter(None, [many, "recompute" if self.recompute else ""]))


RUNS = {
    run.name: run
    for run in (
        *(Run("wide", "reweighting", trains) for trains in TRAINS),
        *(Run("wide", "fine-tuning", trains) for trains in ("full", "LoRA")),
        Run("wide", "reweighting", "full", recompute=True),
        *(Run("wide", "reweighting", "full", 2, shard) for shard in (False, True)),
        Run("wide", "reweighting", "LISA", 2, True),
        Run("wide", "fine-tuning", "LISA", 2),
        *(Run("smollm2-135m", "reweighting", trains, rows=1) for trains in TRAINS),
        Run("smollm2-135m", "fine-tuning", "LISA", rows=1),
    )
}


def row(run: Run) -> dict:
    """One row of COLUMNS: the prediction, and the measurement in processes of its own."""
    from transformers import LlamaConfig

    from scalebio.predicted_memory import peak

    found = peak(
        LlamaConfig(**SHAPES[run.model]),
        **sections(TRAINS[run.trains]),
        models=MODELS[run.job],
        micro_batch=run.rows,
        max_length=run.tokens,
        processes=run.processes,
        shard=run.shard,
        recompute=run.recompute,
        device="cpu",
    )
    seen = measured(run)
    predicted, above = found.total / 1e6, (found.total - found.base) / 1e6
    values = [run.name, run.model, run.job, run.trains, run.processes, run.sharing, predicted, seen["peak_mb"]]
    values += [predicted / seen["peak_mb"], seen["base_mb"], above, seen["peak_mb"] - seen["base_mb"]]
    return dict(zip(COLUMNS, [*values, above / (seen["peak_mb"] - seen["base_mb"])], strict=True))


def measured(run: Run) -> dict:
    """{peak_mb, base_mb} of the process that held most."""
    launcher = launch_line(sys.executable, Hardware(processes=run.processes))
    return run_child(ENTRY, run.name, what=run.name, launcher=["env", *shlex.split(launcher)])


def child(name: str) -> dict | None:
    """Make the steps of the run `name` in this process; what the largest of its processes held, in the first one."""
    import pandas  # noqa: F401 what a study's job imports is in the base
    import torch

    from scalebio import base_models, checkpoints, records, row_scores, weighting  # noqa: F401 as above
    from scalebio.parallel import Parallel

    run = RUNS[name]
    parallel = Parallel(shard=run.shard, micro_batch=run.rows, recompute=run.recompute)
    _steps(Run("minuscule", run.job, run.trains, run.processes, run.shard, run.recompute), parallel)
    gc.collect()
    base = resident_mb()
    _steps(run, parallel)
    held = torch.zeros(parallel.world, 2, dtype=torch.float64)
    held[parallel.rank] = torch.tensor([peak_mb(), base])
    most = max(parallel.sum(held).tolist())
    return {"peak_mb": most[0], "base_mb": most[1]} if parallel.rank == 0 else None


def _steps(run: Run, parallel) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from scalebio import lora
    from scalebio.bilevel import Bilevel
    from scalebio.chat import Example
    from scalebio.config_methods import ScaleBiO
    from scalebio.finetuning import FineTuning, Recipe
    from scalebio.streams import stream

    torch.manual_seed(0)
    model, chosen = LlamaForCausalLM(LlamaConfig(**SHAPES[run.model])), sections(TRAINS[run.trains])
    lora.attach(model, chosen["lora"], 0)
    rng, answered = stream(0, "memory tokens"), np.arange(run.tokens) > 0
    count = 2 * run.rows * run.processes
    rows = [Example(rng.integers(0, SHAPES[run.model]["vocab_size"], run.tokens), answered) for _ in range(count)]
    if run.job == "reweighting":
        options = {
            "steps": STEPS,
            "learning_rate": 1e-6,
            "per_source": count // 2,
            "validation_batch": count,
            "ramp": 0,
        }
        by_source = [rows[: count // 2], rows[count // 2 :]]
        made = Bilevel(
            model,
            by_source,
            rows,
            ScaleBiO(kind="scalebio", **options),
            0,
            run.tokens,
            chosen["lisa"],
            parallel,
        )
    else:
        made = FineTuning(
            model,
            rows,
            Recipe(STEPS, count, 1e-6, 0),
            run.tokens,
            stream(0, "order"),
            stream(0, "layers"),
            chosen["lisa"],
            parallel=parallel,
        )
    for _ in range(STEPS):
        made.step()
