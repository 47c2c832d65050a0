"""Peak memory of one training process, before it starts: everything it holds at once, activations included.

Parameters, gradients and optimiser states come from `costs`, activations and logits from running one pass of the engine
on tensors without values (`memory_trace`). What is predicted is the worst step of a run: of LISA's draws the lowest layers,
whose gradients reach deepest, every row as long as `max_length` and answer throughout. It holds for an engine in steady
state, with states of all that trains. docs/memory.md holds it against measurements and published figures.
"""

import functools
import json
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from transformers import PretrainedConfig

from scalebio import costs, lisa, lora, memory_trace
from scalebio.batching import Packed, pack
from scalebio.chat import Example
from scalebio.config import Lisa, Lora
from scalebio.parallel import PASS_TOKENS, PASS_TOKENS_ELSEWHERE

# Resident memory of a training process before it has a model: Python, torch, transformers, and what a first step loads.
# Measured (docs/memory.md).
CPU_BASE = 550_000_000
# Resident memory over bytes alive for what a pass makes on a CPU: glibc keeps what is freed between tensors that stay, the more
# so between the small tensors of adapters and the whole layers that sharding gathers and lets go. Measured on the shape "wide" of
# `memory_check`; with a fixed small MALLOC_MMAP_THRESHOLD_ it is 1.0 (docs/memory.md).
HEAP, HEAP_WITH_ADAPTERS, HEAP_SHARDED = 1.8, 2.6, 3.7
# What CUDA itself takes on a GPU as soon as a kernel is loaded; the documentation of transformers ("Model training
# anatomy") reads 1,343 MiB on a V100. Not measured here; torch.cuda.max_memory_allocated() does not count it.
CUDA_BASE = 1343 * 2**20
# Whole layers that sharding holds at once: the one at work, the next one gathered ahead, and one's gradients on their way.
GATHERED_LAYERS = 3


@dataclass(frozen=True)
class Peak:
    """Bytes one process holds at its peak, by what they are for; on a GPU those of its memory alone.

    `activations`: what autograd keeps and temporaries of the pass (on a CPU with what the allocator keeps beside them), and what
    sharding has gathered; `logits` apart from
    them; `base`: what the process holds without any model.
    """

    parameters: int
    gradients: int
    states: int
    activations: int
    logits: int
    base: int

    @property
    def total(self) -> int:
        """All of it."""
        return sum(asdict(self).values())


def peak(
    config: PretrainedConfig,
    *,
    lisa: Lisa | None,
    lora: Lora | None,
    models: int,
    micro_batch: int | None,
    max_length: int,
    processes: int = 1,
    shard: bool = False,
    offload: bool = False,
    recompute: bool = False,
    device: str,
    passes: int = 2,
    dtype: torch.dtype = torch.float32,
) -> Peak:
    """Predict the peak of one process that trains `models` (2: u and w; 1: fine-tuning) models of a shape (ours).

    `micro_batch`, `shard`, `offload`, `recompute` as a study's `hardware`; `max_length` tokens a row; `device` "cpu" or
    "cuda"; `passes` of a step: 1, or 2 for any larger number; `dtype` of parameters, gradients and states: float32 is what
    the engine has, others are for comparing with figures of other programs. Raises ValueError for another device, and
    UserError for a model that the engine refuses.
    """
    if device not in ("cpu", "cuda"):
        raise ValueError(f"device is {device!r}, not cpu or cuda")
    shape = _Shape(json.dumps(config.to_dict(), default=str, sort_keys=True), config)
    held, layer, rest = _held(shape, lisa, lora, models, processes, shard)
    several = passes > 1
    half = device == "cuda" and dtype == torch.float32
    computed = torch.bfloat16 if half and shard else dtype
    way = _Way(
        device, half and not shard, computed, lisa, lora, micro_batch, max_length, processes > 1, shard, recompute
    )
    count = _counted(shape, way, several)
    parameters, gradients, states = (
        part * dtype.itemsize // costs.FLOAT32 for part in (held.parameters, held.gradients, held.states)
    )
    if shard and several:
        # FSDP2 holds gradients whole until the last pass of a step brings them together.
        gradients *= processes
    # Between two passes gradients are there before the pass; in the only one they come as activations go.
    most = count.most if several else max(count.most - gradients, 0)
    logits = min(count.logits_then, most)
    gathered = (rest + GATHERED_LAYERS * layer) * computed.itemsize if shard else 0
    heap = HEAP_SHARDED if shard else HEAP_WITH_ADAPTERS if lora else HEAP
    kept = round((heap if device == "cpu" else 1) * (most + gathered))
    if offload:
        parameters = gradients = states = 0
    base = CPU_BASE if device == "cpu" else CUDA_BASE
    return Peak(parameters, gradients, states, kept - logits, logits, base)


@dataclass(frozen=True)
class _Shape:
    """A model's configuration that counts as equal to another of the same values, so that counts are kept."""

    text: str
    config: PretrainedConfig = field(compare=False)


@dataclass(frozen=True)
class _Way:
    """All that decides what a pass of a given shape needs."""

    device: str
    autocast: bool
    dtype: torch.dtype
    lisa: Lisa | None
    lora: Lora | None
    micro_batch: int | None
    max_length: int
    several_processes: bool
    shard: bool
    recompute: bool


@functools.lru_cache(maxsize=64)
def _held(shape: _Shape, layers: Lisa | None, adapters: Lora | None, models: int, processes: int, shard: bool):
    """What `costs` says is held, and the parameters of one layer and of all that is outside the layers."""
    model = memory_trace.on_meta(shape.config, adapters)
    sizes = [sum(parameter.numel() for parameter in layer.parameters()) for layer in lisa.find_layers(model)]
    everything = sum(parameter.numel() for parameter in model.parameters())
    return costs.held(model, layers, models, processes, shard), max(sizes), everything - sum(sizes)


@functools.lru_cache(maxsize=64)
def _counted(shape: _Shape, way: _Way, several: bool) -> memory_trace.Count:
    """What one pass makes; of a deep model by its line through two shallow ones."""
    depth = shape.config.num_hidden_layers
    # Even numbers, because families that alternate between two kinds of layers do so one by one.
    shallow = max(4, 2 * (way.lisa.layers + 1 if way.lisa else 0))
    if depth <= shallow + 2:
        return _at_depth(shape, way, several, depth)
    near, far = (_at_depth(shape, way, several, layers) for layers in (shallow, shallow + 2))
    return near.at_depth(shallow, far, shallow + 2, depth)


def _at_depth(shape: _Shape, way: _Way, several: bool, layers: int) -> memory_trace.Count:
    config = memory_trace.of_depth(shape.config, layers)
    model = memory_trace.shaped(config, way.lora, way.dtype)
    loss = memory_trace.engine_loss(model, config, way.device)
    # As `Learner` does, and the loss module itself where processes work together.
    loss.in_place = not (way.several_processes or way.shard)
    loss.train(False)
    trained = lora.trainable(loss)
    for name, parameter in loss.named_parameters():
        parameter.requires_grad_(name in trained)
    if way.lisa:
        lisa.activate(loss, list(range(way.lisa.layers)), way.lisa.embeddings)
    if way.recompute:
        model.activation_checkpointing_enable({"use_reentrant": False})
        for layer in lisa.find_layers(model):
            layer.training = True
    for parameter in loss.parameters():
        if parameter.requires_grad and several:
            parameter.grad = torch.zeros_like(parameter)
    return memory_trace.one_pass(loss, _batch(way), way.autocast, config.vocab_size)


def _batch(way: _Way) -> Packed:
    """A pass as full as the engine makes it."""
    tokens = PASS_TOKENS.get(way.device, PASS_TOKENS_ELSEWHERE)
    count = way.micro_batch or max(1, tokens // way.max_length)
    # The first token of a row has none before it that could predict it.
    row = Example(np.zeros(way.max_length, dtype=np.int64), np.arange(way.max_length) > 0)
    return pack([row] * count, way.max_length)
