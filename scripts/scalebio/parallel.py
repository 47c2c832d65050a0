"""One process or many, by one code path: who computes which examples, and how gradients and losses come together.

accelerate starts the processes and knows rank, device and precision. Two ways to share the work, the same result:

- *replicated*: every process holds both models; the gradients of the layers that train are summed once a step. Not
  DistributedDataParallel, which keeps buckets for, and communicates, the gradients of sleeping layers as well, and so
  gives back what LISA saves.
- *sharded*: every decoder layer, and the rest, is split over the processes (FSDP2, torch's `fully_shard`), gathered
  when it is needed. Called here directly, because accelerate does so on GPUs only and CPUs are where it is tested.
  The first process alone reads the model and hands out the parts: eight whole copies would not fit a node's memory.

The global batch is fixed by the study; its share per process and micro-batch follows from the number of processes.
"""

import copy
import functools
from collections.abc import Iterable

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy, OffloadPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from scalebio import lisa, lora
from scalebio.errors import UserError

# Tokens of a forward pass where `micro_batch` leaves it open, about. On a CPU matrix products run at full speed from some
# 500 rows on, so larger passes would only cost memory; a GPU needs more.
PASS_TOKENS = {"cpu": 1024}
PASS_TOKENS_ELSEWHERE = 16384


class Parallel:
    """The processes of this run. `micro_batch`: examples per forward pass and process, None for what suits the device;
    `recompute`: layers keep their inputs only and compute the rest again in the backward pass.

    bf16 is used where the hardware computes in it; parameters, gradients and optimiser state stay in float32.
    """

    def __init__(
        self, shard: bool = False, offload: bool = False, micro_batch: int | None = None, recompute: bool = False
    ):
        fast = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
        self.accelerator = Accelerator(mixed_precision="bf16" if fast else "no")
        self.shard, self.offload, self.micro_batch, self.recompute = shard, offload, micro_batch, recompute
        if offload and self.device.type == "cpu":
            raise UserError("`offload` needs GPUs: here the parameters already rest in the CPU's memory. Unset it.")

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""
        return self.accelerator.process_index

    @property
    def world(self) -> int:
        """How many processes there are."""
        return self.accelerator.num_processes

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        return self.accelerator.device

    @property
    def receives(self) -> bool:
        """Whether the first process hands this one its part of every parameter, so that it need not read the model."""
        return self.shard and self.rank > 0

    def twin(self, model: torch.nn.Module) -> torch.nn.Module:
        """A second model that starts as `model` does; to be called before the first is prepared."""
        if not self.shard:
            return lora.twin(model)
        # Splitting copies each part, so until then both may stand on the same whole parameters.
        return copy.deepcopy(model, {id(parameter): parameter for parameter in model.parameters()})

    @functools.cached_property
    def _mesh(self):
        if not dist.is_initialized():  # a single process may shard too, to try a setting out
            dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
        return init_device_mesh(self.device.type, (self.world,))

    def prepare(self, module: torch.nn.Module) -> torch.nn.Module:
        """Move a loss module to the device, or split it over the processes: each decoder layer and the rest."""
        if self.recompute:
            # Reentrant checkpointing loses the gradients of layers above frozen embeddings, without a word.
            module.model.activation_checkpointing_enable({"use_reentrant": False})
        if not self.shard:
            return module.to(self.device)
        half = self.accelerator.mixed_precision == "bf16"
        options = {
            "mesh": self._mesh,
            "mp_policy": MixedPrecisionPolicy(torch.bfloat16, torch.float32) if half else MixedPrecisionPolicy(),
            "offload_policy": CPUOffloadPolicy() if self.offload else OffloadPolicy(),
            # Also for the rest: after an evaluation its parameters must not stay gathered.
            "reshard_after_forward": True,
        }
        given = list(module.parameters())
        for layer in lisa.find_layers(module):
            fully_shard(layer, **options)
        fully_shard(module, **options)
        if self.world > 1:
            self._hand_out(given, list(module.parameters()))
        return module

    @torch.no_grad()
    def _hand_out(self, given: list[torch.Tensor], parts: list[torch.Tensor]) -> None:
        """Fill each process's part of every parameter from the first process's whole one."""
        for tensor, part in zip(given, parts, strict=True):
            full = torch.empty_like(tensor, device=self.device) if self.rank else tensor.detach().to(self.device)
            dist.broadcast(full, 0)
            own = distribute_tensor(full, self._mesh, part.placements, src_data_rank=None)
            local(part).copy_(local(own))

    def set_training(self, module: torch.nn.Module, dropout: bool) -> None:
        """Switch dropout on or off, and layers to recompute if they should."""
        module.train(dropout)
        if self.recompute:
            # Of the layer alone, which reads it to see whether to recompute; not of its parts, which would drop out.
            for layer in lisa.find_layers(module):
                layer.training = True

    def autocast(self):
        """Context of a forward pass; a sharded module casts by itself."""
        return torch.autocast(
            self.device.type, torch.bfloat16, self.accelerator.mixed_precision == "bf16" and not self.shard
        )

    def share_out(self, lengths: list[int]) -> list[list[int]]:
        """Which examples this process takes, one list of indices per micro-batch; as many lists in every process.

        The longest example goes first, to the micro-batch with the fewest tokens that still has room; a list may be empty.
        """
        size = self.micro_batch or len(lengths)
        most = PASS_TOKENS.get(self.device.type, PASS_TOKENS_ELSEWHERE) * self.world
        needed = -(-sum(lengths) // most) if self.micro_batch is None else -(-len(lengths) // (size * self.world))
        count = min(needed, -(-len(lengths) // self.world)) * self.world
        parts: list[list[int]] = [[] for _ in range(count)]
        tokens = [0] * count
        for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
            part = min((p for p in range(count) if len(parts[p]) < size), key=lambda p: tokens[p])
            parts[part].append(index)
            tokens[part] += lengths[index]
        return [sorted(part) for part in parts[self.rank :: self.world]]

    @property
    def factor(self) -> int:
        """What a process multiplies its coefficients by, because sharding takes the mean over processes, not the sum."""
        return self.world if self.shard else 1

    def accumulate(self, module: torch.nn.Module, last: bool) -> None:
        """Say before a micro-batch whether gradients come together after it."""
        if self.shard:
            module.set_requires_gradient_sync(last)

    def add_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Sum the gradients over replicated processes, in place."""
        if not self.shard and self.world > 1:
            for parameter in parameters:
                if parameter.grad is not None:
                    dist.all_reduce(parameter.grad)

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """Sum a small CPU tensor over processes."""
        return self.accelerator.reduce(values.to(self.device), "sum").cpu() if self.world > 1 else values

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return bool(self.sum(torch.tensor(float(flag)))) if self.world > 1 else flag

    def told(self, text: str) -> str:
        """The first process's text, in every process."""
        return broadcast_object_list([text])[0] if self.world > 1 else text

    def wait(self) -> None:
        """Wait until every process is here."""
        self.accelerator.wait_for_everyone()


def local(tensor: torch.Tensor) -> torch.Tensor:
    """This process's part of a sharded tensor; a plain tensor as it is."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """The full tensor on every process, of a sharded one; a plain tensor as it is. All processes must call it."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def like(part: torch.Tensor, parameter: torch.Tensor) -> torch.Tensor:
    """Turn this process's part into a tensor sharded as `parameter` is."""
    if not hasattr(parameter, "to_local"):
        return part
    return DTensor.from_local(
        part, parameter.device_mesh, parameter.placements, shape=parameter.shape, stride=parameter.stride()
    )
