"""What a training job will hold in memory, before it starts: parameters, gradients and optimiser state, to the byte.

Activations come on top, `predicted_memory` adds them; `smoke_test.py` measures what a GPU really holds.
"""

from dataclasses import dataclass

import torch

from scalebio import lisa, lora
from scalebio.config import Lisa

FLOAT32 = 4


@dataclass(frozen=True)
class Held:
    """Bytes held by one process between the backward pass and the optimiser's step.

    Sharded gradients are whole before that, from a step's first pass to its last one; `predicted_memory` counts them so.
    """

    parameters: int
    gradients: int
    states: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.parameters + self.gradients + self.states


def held(model: torch.nn.Module, layers: Lisa | None, models: int, processes: int = 1, shard: bool = False) -> Held:
    """What `models` (2 for learning weights, 1 for fine-tuning) copies of `model` hold; it may be on the meta device.

    Everything is float32. Only one model's gradients exist at a time; every active parameter has two moments. Weights that
    adapters leave frozen are held once, however many models, but sharding splits each model's own.
    """
    trainable = trained_parameters(model, layers)
    everything = sum(parameter.numel() for parameter in model.parameters())
    twin = trainable if lora.adapters(model) and not shard else everything
    parts = processes if shard else 1
    counts = (everything + (models - 1) * twin, trainable, models * 2 * trainable)
    return Held(*(FLOAT32 * count // parts for count in counts))


def trained_parameters(model: torch.nn.Module, layers: Lisa | None) -> int:
    """How many parameters train at a time: all, or the adapters, or the largest layers that LISA may draw and what always trains."""
    everything = sum(parameter.numel() for parameter in lora.trainable(model).values())
    if layers is None:
        return everything
    sizes = sorted(sum(parameter.numel() for parameter in layer.parameters()) for layer in lisa.find_layers(model))
    return sum(sizes[-layers.layers :]) + (everything - sum(sizes) if layers.embeddings else 0)
