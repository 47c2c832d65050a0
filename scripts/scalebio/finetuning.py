"""Plain supervised training: the final model on its mixture, and the warm-up of a model made from scratch.

The loss is the mean over examples of each one's mean response-token loss, the same as inside L1 and L2.
"""

import functools
from dataclasses import dataclass

import numpy as np
import torch

from scalebio import lisa, schedules
from scalebio.batching import Cycle, pack
from scalebio.chat import Example
from scalebio.config import Lisa
from scalebio.learner import Learner
from scalebio.parallel import Parallel


@dataclass(frozen=True)
class Recipe:
    """How to train: `steps` optimiser steps of `batch` examples; `ramp` steps of rising learning rate, then cosine."""

    steps: int
    batch: int
    learning_rate: float
    ramp: int


class FineTuning:
    """One training run; `step()` advances it, `rows` are what it saw: {step, examples, split, loss}.

    Training loss is recorded at each step (of that step's batch), validation loss (all of `validation`) at
    `evaluations` evenly spaced steps and at the end. With `layers`, LISA draws them from `layer_rng`; `drawn` lists
    [step, layers]. Of a model with adapters (`lora.attach`) only these train, with dropout if `dropout_rng` is given.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        examples: list[Example],
        recipe: Recipe,
        row_length: int,
        order: np.random.Generator,
        layer_rng: np.random.Generator | None = None,
        layers: Lisa | None = None,
        validation: list[Example] = (),
        evaluations: int = 0,
        parallel: Parallel | None = None,
        dropout_rng: np.random.Generator | None = None,
    ):
        self.examples, self.recipe, self.validation = examples, recipe, validation
        self.layer_draws = lisa.draws_for(model, layers, layer_rng)
        collate = functools.partial(pack, row_length=row_length)
        self.dropout_rng = dropout_rng
        self.learner = Learner(
            "model", model, collate, parallel or Parallel(), layers, adapter_dropout=dropout_rng is not None
        )
        self.cycle = Cycle(len(examples), order)
        self.every = max(1, recipe.steps // evaluations) if evaluations else 0
        self.rows: list[dict] = []
        self.drawn: list[list] = []
        self.done, self.steps = 0, recipe.steps

    def step(self) -> dict:
        """One optimiser step; returns its training row. Raises UserError as `Learner.step`."""
        recipe, k = self.recipe, self.done
        if self.every and k % self.every == 0:
            self._validate(k)
        drawn = self.layer_draws.at(k) if self.layer_draws else None
        if drawn is not None:
            self.learner.activate(drawn)
            self.drawn.append([k, drawn])
        batch = [self.examples[i] for i in self.cycle.take(recipe.batch)]
        if self.dropout_rng is not None:
            torch.manual_seed(int(self.dropout_rng.integers(2**63)))
        rate = recipe.learning_rate * schedules.ramp_cosine(k, recipe.steps, recipe.ramp)
        mean = torch.full((recipe.batch,), 1 / recipe.batch, dtype=torch.float64)
        loss = (self.learner.step(batch, mean, rate, when=f"step {k}") @ mean).item()
        self.rows.append({"step": k, "examples": (k + 1) * recipe.batch, "split": "training", "loss": loss})
        self.done += 1
        if self.every and self.done == recipe.steps:
            self._validate(self.done)
        return {"step": k, "loss": loss, "tokens": sum(len(example.ids) for example in batch)}

    def _validate(self, step: int) -> None:
        loss = self.learner.evaluate(self.validation).mean().item()
        self.rows.append({"step": step, "examples": step * self.recipe.batch, "split": "validation", "loss": loss})

    def state(self) -> tuple[dict[str, torch.Tensor], dict]:
        """Tensors and plain facts from which `load` goes on bit for bit."""
        tensors, learner = self.learner.state()
        draws = self.layer_draws.state() if self.layer_draws else None
        dropout = self.dropout_rng.bit_generator.state if self.dropout_rng is not None else None
        facts = {"done": self.done, "rows": self.rows, "drawn": self.drawn, "learner": learner}
        return tensors, facts | {"cycle": self.cycle.state(), "layer_draws": draws, "dropout": dropout}

    def load(self, tensors: dict[str, torch.Tensor], facts: dict) -> None:
        """Take up a `state`."""
        self.done, self.rows, self.drawn = facts["done"], facts["rows"], facts["drawn"]
        self.learner.load(tensors, facts["learner"])
        self.cycle.load(facts["cycle"])
        if self.layer_draws:
            self.layer_draws.load(facts["layer_draws"])
        if self.dropout_rng is not None:
            self.dropout_rng.bit_generator.state = facts["dropout"]


def train(model: torch.nn.Module, *arguments, on_step=lambda seen: None, **options) -> list[dict]:
    """Train `model` in place by a `FineTuning` of the same arguments, without checkpoints; returns its rows."""
    job = FineTuning(model, *arguments, **options)
    while job.done < job.steps:
        on_step(job.step())
    return job.rows
