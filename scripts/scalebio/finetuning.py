"""Plain supervised training: the final model on its mixture, and the warm-up of a model made from scratch.

The loss is the mean over examples of each one's mean response-token loss, the same as inside L1 and L2.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from scalebio import lisa, schedules
from scalebio.batching import Cycle, pack
from scalebio.chat import Example
from scalebio.config import Lisa
from scalebio.errors import UserError
from scalebio.losses import ResponseLoss, mean_losses


@dataclass(frozen=True)
class Recipe:
    """How to train: `steps` optimiser steps of `batch` examples; `ramp` steps of rising learning rate, then cosine."""

    steps: int
    batch: int
    learning_rate: float
    ramp: int


def train(
    model: torch.nn.Module,
    examples: list[Example],
    recipe: Recipe,
    row_length: int,
    order: np.random.Generator,
    layer_rng: np.random.Generator | None = None,
    layers: Lisa | None = None,
    validation: list[Example] = (),
    evaluations: int = 0,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
) -> list[dict]:
    """Train `model` in place; return rows {step, examples, split, loss}.

    Training loss is recorded at each step (of that step's batch), validation loss (all of `validation`) at
    `evaluations` evenly spaced steps and at the end. With `layers`, LISA draws them from `layer_rng`.
    """
    model.eval()  # dropout off, as while learning weights
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=0.0)
    draws = lisa.LayerDraws(len(lisa.find_layers(model)), layers.layers, layers.interval, layer_rng) if layers else None
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    cycle, loss_of, device = Cycle(len(examples), order), ResponseLoss(model), next(model.parameters()).device
    every = max(1, recipe.steps // evaluations) if evaluations else 0
    rows = []

    def validate(step: int) -> None:
        loss = mean_losses(model, validation, row_length).mean().item()
        rows.append({"step": step, "examples": step * recipe.batch, "split": "validation", "loss": loss})

    for step in range(recipe.steps):
        if every and step % every == 0:
            validate(step)
        drawn = draws.at(step) if draws else None
        if drawn is not None:
            lisa.activate(model, drawn, layers.embeddings)
            lisa.free_frozen(optimizer)
        optimizer.param_groups[0]["lr"] = recipe.learning_rate * schedules.ramp_cosine(step, recipe.steps, recipe.ramp)
        optimizer.zero_grad(set_to_none=True)
        batch = pack([examples[i] for i in cycle.take(recipe.batch)], row_length).to(device)
        loss, _ = loss_of(batch, torch.full((recipe.batch,), 1 / recipe.batch, device=device))
        if not torch.isfinite(loss):
            raise UserError(
                f"The training loss is not finite at step {step}: lower `learning_rate` ({recipe.learning_rate})."
            )
        loss.backward()
        optimizer.step()
        rows.append({"step": step, "examples": (step + 1) * recipe.batch, "split": "training", "loss": loss.item()})
        on_step(step, loss.item())
    if every:
        validate(recipe.steps)
    return rows
