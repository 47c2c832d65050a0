"""What each point on which the releases differ from ours costs: the loop on planted tasks, one switch turned at a time.

Learning rates, steps and LISA are the same in every run, so that what differs is what is computed. The releases' model
has dropout, the planted tasks' Llama has it in its attention only; that is switched on where `dropout` is.
"""

from collections.abc import Iterator

import numpy as np
import torch

from scalebio import planted
from scalebio.bilevel import Bilevel, learn
from scalebio.config import Lisa
from scalebio.config_methods import ScaleBiO
from scalebio.semantics import PRESETS, Semantics
from scalebio.statistics import total_variation

LAYERS = Lisa(layers=1, interval=5)
DROPOUT = 0.1
# Points that mean something only beside another one.
TOGETHER = {"example_loss": ("micro_batch",), "source_mean": ("micro_batch", "draws")}


def variants() -> dict[str, dict]:
    """Name → `semantics` and `differences` of each run: ours, ours with one point as in a release, and the releases."""
    ours = PRESETS["scalebio"]
    found = {"ours": {}}
    for point in Semantics.model_fields:
        for release in ("official_acl", "official_v1"):
            value = getattr(PRESETS[release], point)
            if point == "micro_batch" or value == getattr(ours, point):
                continue
            more = {other: getattr(PRESETS[release], other) for other in TOGETHER.get(point, ())}
            found[f"{point} = {value}"] = {"differences": {point: value, **more}}
    return found | {release: {"semantics": release} for release in ("official_acl", "official_v1")}


def measure(task_name: str, seed: int) -> Iterator[dict]:
    """Rows {task, seed, variant, weights, tv}, one a variant, as each is done."""
    task = planted.make(task_name, seed)
    for variant, choice in variants().items():
        settings = ScaleBiO(kind="scalebio", steps=200, learning_rate=1e-3, check_steps=0, **choice)
        model = planted.base(task)
        for module in model.modules():
            if hasattr(module, "attention_dropout"):
                module.attention_dropout = DROPOUT
        with torch.random.fork_rng():
            run = Bilevel(model, task.by_source, task.validation, settings, seed, task.row_length, LAYERS)
            learn(run)
        yield {
            "task": task_name,
            "seed": seed,
            "variant": variant,
            "weights": " ".join(f"{weight:.4f}" for weight in run.weights),
            "tv": total_variation(run.weights, np.asarray(task.truth)),
        }
