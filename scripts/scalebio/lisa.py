"""LISA: only a few randomly drawn transformer layers train at a time (arXiv 2403.17919, Algorithm 1).

As in the authors' code, exactly `layers` layers are drawn without replacement every `interval` steps; embeddings,
final norm and output head always train unless `embeddings` is off. Unlike it, the optimiser state of a layer that
goes back to sleep is freed, so memory does not creep up to that of full training.
"""

from dataclasses import dataclass

import numpy as np
import torch

from scalebio.config import Lisa
from scalebio.errors import UserError


def find_layers(model: torch.nn.Module) -> torch.nn.ModuleList:
    """The model's stack of transformer layers, found by structure: the outermost list of modules of one class.

    Lists inside another list, such as the experts of a layer, do not count. Raises UserError if there is none, if there
    are several (encoder and decoder, say), or if its length is not what the model's configuration states.
    """
    lists = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) > 0 and len({type(layer) for layer in module}) == 1
    ]
    kind = type(model).__name__
    stacks = [(name, one) for name, one in lists if not any(name.startswith(f"{other}.") for other, _ in lists)]
    if not stacks:
        raise UserError(f"{kind} has no stack of transformer layers, so LISA cannot be used; unset `lisa`.")
    if len(stacks) > 1:
        named = ", ".join(f"{name} ({len(stack)})" for name, stack in stacks)
        raise UserError(f"{kind} has several stacks of layers, {named}: LISA needs a model with one; unset `lisa`.")
    name, stack = stacks[0]
    stated = getattr(getattr(model, "config", None), "num_hidden_layers", None)
    if stated not in (None, len(stack)):
        raise UserError(
            f"{kind} states {stated} layers, but its stack `{name}` has {len(stack)}: LISA cannot tell which are its "
            "layers; unset `lisa`."
        )
    return stack


@dataclass
class LayerDraws:
    """Which layers train at each step, from one stream; share the object's draws between u and w."""

    total: int
    active: int
    interval: int
    rng: np.random.Generator

    def __post_init__(self):
        if self.active > self.total:
            raise UserError(f"lisa.layers is {self.active}, but the model has {self.total} layers.")

    def at(self, step: int) -> list[int] | None:
        """New sorted layer indices if `step` starts an interval, else None. Call once a step, in order."""
        if step % self.interval:
            return None
        return sorted(self.rng.choice(self.total, self.active, replace=False).tolist())

    def state(self) -> dict:
        """Where the draws stand, as plain values."""
        return {"rng": self.rng.bit_generator.state}

    def load(self, state: dict) -> None:
        """Go on from a `state`."""
        self.rng.bit_generator.state = state["rng"]


def activate(model: torch.nn.Module, layers: list[int], embeddings: bool = True) -> None:
    """Let exactly the given layers train, and embeddings, norms and head outside the stack if `embeddings`."""
    stack = find_layers(model)
    for parameter in model.parameters():
        parameter.requires_grad_(embeddings)
    for index, layer in enumerate(stack):
        for parameter in layer.parameters():
            parameter.requires_grad_(index in layers)


def free_frozen(optimizer: torch.optim.Optimizer) -> None:
    """Drop gradients and optimiser state of every parameter that does not train."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if not parameter.requires_grad:
                parameter.grad = None
                optimizer.state.pop(parameter, None)


def draws_for(model: torch.nn.Module, settings: Lisa | None, rng: np.random.Generator) -> LayerDraws | None:
    """The draws among a model's layers; None where LISA is not asked for."""
    return LayerDraws(len(find_layers(model)), settings.layers, settings.interval, rng) if settings else None
