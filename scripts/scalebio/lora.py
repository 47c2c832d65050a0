"""LoRA: adapters train, the model's own weights do not (Hu et al., arXiv 2106.09685), with the layers of the package peft.

An adapter stands at a linear layer W and adds (alpha / rank) · B A to it. B starts at zero, so a model with fresh adapters
computes what it did without. Such a model carries what trains in it: whoever trains asks `trainable`, and gets the
adapters of a model that has some, every parameter of one that has none. LISA chooses among the latter in time.

Where two models are trained from one base, as u and w are, `twin` copies the adapters alone: the frozen weights are there
once (ours; the authors' release holds them twice).
"""

import copy
import warnings

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from transformers.pytorch_utils import Conv1D

from scalebio import lisa
from scalebio.config import Lora
from scalebio.errors import UserError
from scalebio.streams import torch_seed

LINEAR = (torch.nn.Linear, Conv1D)


def targets(model: torch.nn.Module, which: str) -> list[str]:
    """Names of the linear layers, GPT-2's `Conv1D` among them, inside the transformer layers: `linear` all, `attention` its own.

    Found by structure: attention is a module that says whether it is causal, which every one that uses transformers'
    attention functions does. Experts that are one tensor are no linear layers. Raises UserError where none is found.
    """
    stack, names = lisa.find_layers(model), {id(module): name for name, module in model.named_modules()}
    parts = stack.modules()
    if which == "attention":
        parts = (inner for part in stack.modules() if hasattr(part, "is_causal") for inner in part.modules())
    found = [names[id(part)] for part in parts if isinstance(part, LINEAR)]
    if not found:
        advice = "set `lora.target: linear`, or leave `lora` out" if which == "attention" else "leave `lora` out"
        raise UserError(f"{type(model).__name__} has no {which} layers that adapters could stand at: {advice}.")
    return list(dict.fromkeys(found))


def attach(model: torch.nn.Module, settings: Lora | None, seed: int) -> torch.nn.Module:
    """Give `model` fresh adapters, in place, and freeze all else; None gives none. A is drawn from stream "adapters"."""
    if settings is None:
        return model
    if adapters(model):
        raise UserError(f"{type(model).__name__} has adapters already; merge or remove them before it gets others.")
    names = targets(model, settings.target)
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=names,
        # Conv1D keeps its weight the other way round.
        fan_in_fan_out=any(isinstance(model.get_submodule(name), Conv1D) for name in names),
    )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # Where a model has both kinds of linear layers, peft corrects the flag above for each, and says so each time.
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set to True")
        torch.manual_seed(torch_seed(seed, "adapters"))
        inject_adapter_in_model(config, model)
    placed = dict(adapters(model))
    if placed.keys() != set(names):
        raise UserError(
            f"adapters came to stand at {sorted(placed.keys() ^ set(names))[:5]} instead; report this model."
        )
    return model


def adapters(model: torch.nn.Module) -> list[tuple[str, LoraLayer]]:
    """Name and module of each adapted linear layer."""
    return [(name, module) for name, module in model.named_modules() if isinstance(module, LoraLayer)]


def trainable(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """The parameters by name that may train: the adapters' if the model has any, else all."""
    own = {
        id(parameter)
        for _, layer in adapters(model)
        for part in (layer.lora_A, layer.lora_B)
        for parameter in part.parameters()
    }
    return {name: parameter for name, parameter in model.named_parameters() if not own or id(parameter) in own}


def twin(model: torch.nn.Module) -> torch.nn.Module:
    """A copy that trains apart. Of a model with adapters, its frozen weights are not copied but shared."""
    own = {id(parameter) for parameter in trainable(model).values()}
    # What `deepcopy` finds in its memo it takes as copied already.
    shared = {id(parameter): parameter for parameter in model.parameters() if id(parameter) not in own}
    return copy.deepcopy(model, shared)


def switch_dropout_on(model: torch.nn.Module) -> None:
    """Let the adapters drop values, and nothing else, in a model that is otherwise in evaluation mode."""
    for _, layer in adapters(model):
        layer.lora_dropout.train()


def merge(model: torch.nn.Module) -> None:
    """Add the adapters to the weights and remove them, in place: a plain model that computes the same up to rounding.

    Not for one of two twins: the other would change as well.
    """
    for _, layer in adapters(model):
        layer.merge()
    remove(model)


def remove(model: torch.nn.Module) -> None:
    """Take the adapters away, in place; without `merge` this is the base again. A model that has none is left as it is."""
    for name, layer in adapters(model):
        model.set_submodule(name, layer.get_base_layer())
    if hasattr(model, "peft_config"):
        del model.peft_config
        for parameter in model.parameters():
            parameter.requires_grad_(True)
