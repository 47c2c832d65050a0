"""A model that a weighting method trains on batches of its own choosing, to learn weights from it.

The step is the `Learner`'s; what is added is what every such model shares: the ramp and cosine of its learning rate, the
layers that LISA draws for it, and a state for checkpoints.
"""

import functools

import numpy as np
import torch

from scalebio import lisa, schedules
from scalebio.batching import pack
from scalebio.chat import Example
from scalebio.learner import Learner
from scalebio.streams import stream
from scalebio.weighting import Problem


class Proxy:
    """`model` in training for `steps` steps; `name` is for messages and for the stream of its LISA layers."""

    def __init__(
        self,
        name: str,
        model: torch.nn.Module,
        problem: Problem,
        steps: int,
        learning_rate: float,
        ramp: int,
        seed: int,
    ):
        self.steps, self.learning_rate, self.ramp = steps, learning_rate, ramp
        layers = problem.layers
        self.layer_draws = lisa.draws_for(model, layers, stream(seed, "lisa layers", name))
        collate = functools.partial(pack, row_length=problem.row_length)
        self.learner = Learner(name, model, collate, problem.parallel, layers)
        self.done = 0

    def step(self, examples: list[Example], coefficients: np.ndarray) -> np.ndarray:
        """One AdamW step on Σ c_i l_i; the losses before it, nats, [examples]. Raises UserError as `Learner.step`."""
        drawn = self.layer_draws.at(self.done) if self.layer_draws else None
        if drawn is not None:
            self.learner.activate(drawn)
        rate = self.learning_rate * schedules.ramp_cosine(self.done, self.steps, self.ramp)
        losses = self.learner.step(examples, torch.from_numpy(coefficients), rate, when=f"step {self.done}")
        self.done += 1
        return losses.numpy()

    def state(self) -> tuple[dict[str, torch.Tensor], dict]:
        """Tensors and plain facts from which `load` goes on bit for bit."""
        tensors, learner = self.learner.state()
        draws = self.layer_draws.state() if self.layer_draws else None
        return tensors, {"done": self.done, "learner": learner, "layer_draws": draws}

    def load(self, tensors: dict[str, torch.Tensor], facts: dict) -> None:
        """Take up a `state`."""
        self.done = facts["done"]
        self.learner.load(tensors, facts["learner"])
        if self.layer_draws:
            self.layer_draws.load(facts["layer_draws"])
