"""Low-rank adapters (LoRA, arXiv 2106.09685) in a model's attention, for as long as they are needed.

They go into the model itself rather than around it, so that it stays a model of its own class, which `ResponseLoss` and
`Learner` know; taking them out again leaves the same modules with the same numbers.
"""

import contextlib
from collections.abc import Iterator

import torch
from peft import LoraConfig
from peft.tuners.lora import LoraModel
from transformers.pytorch_utils import Conv1D

from scalebio.errors import UserError
from scalebio.streams import torch_seed


def attention_maps(model: torch.nn.Module) -> list[str]:
    """Names of the linear maps inside attention, found by structure: in modules whose class is called attention.

    Raises UserError if there are none.
    """
    inside = [name for name, module in model.named_modules() if "attention" in type(module).__name__.lower()]
    maps = [
        name
        for name, module in model.named_modules()
        if isinstance(module, (torch.nn.Linear, Conv1D)) and any(name.startswith(f"{one}.") for one in inside)
    ]
    if not maps:
        raise UserError(
            f"{type(model).__name__} has no linear map in a module that is called attention, so there is nothing to put "
            "adapters on. Use a model such as GPT-2, Llama, Mistral, Qwen or Gemma, or another weighting method."
        )
    return maps


@contextlib.contextmanager
def adapted(model: torch.nn.Module, rank: int, alpha: float, seed: int) -> Iterator[list[torch.nn.Parameter]]:
    """Adapters on every map of attention inside the `with` block; yields their parameters, which alone are to train.

    Of each map W: W + alpha / rank · B A, with A [rank, in] random, from stream "adapters", and B [out, rank] zero, so that
    the model computes the same at first. No dropout. Afterwards all is as before, `requires_grad` included.
    """
    trained = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    maps = attention_maps(model)
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        target_modules=maps,
        lora_dropout=0.0,
        # GPT-2's maps hold their weights transposed.
        fan_in_fan_out=isinstance(model.get_submodule(maps[0]), Conv1D),
    )
    # peft draws from torch's global state.
    with torch.random.fork_rng():
        torch.manual_seed(torch_seed(seed, "adapters"))
        wrapper = LoraModel(model, config, "default")
    try:
        yield [parameter for parameter in model.parameters() if parameter.requires_grad]
    finally:
        wrapper.unload()
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(trained[name])
