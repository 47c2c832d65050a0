"""What a training pass needs at its peak, by running it on tensors without values and counting what is alive.

Nothing is estimated: the engine's own loss module, with the model family's own code and autograd, runs forward and backward
on fake tensors, which have shapes and no memory; every tensor made is counted from its making to its release. So whatever
the engine does (packed passes, logits in chunks, frozen layers, recomputation, half precision) is in the count. All layers
of a model are alike, so a deep one is run with few layers, twice, and the line through both continued (`Count.at_depth`).
"""

import contextlib
import copy
import weakref
from dataclasses import dataclass

import torch
from torch._subclasses import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from transformers import AutoModelForCausalLM, PretrainedConfig
from transformers.initialization import no_init_weights

from scalebio import fusing, lora
from scalebio.batching import Packed
from scalebio.config import Lora
from scalebio.losses import ResponseLoss

# Widths of the small real model that is asked how the engine rewires a family. Of a head 1/4 or 2/5 may be rotated in pairs.
SMALL_HEAD, SMALL_INNER, SMALL_VOCABULARY, SMALL_LAYERS = 40, 16, 64, 2


@dataclass(frozen=True)
class Count:
    """Most bytes alive at once in each third of a pass (forward, upper and lower half of the layers backward), logits among them.

    Gradients that the pass makes are in `alive`; parameters and whatever else was there before it are not.
    """

    alive: tuple[float, float, float]
    logits: tuple[float, float, float]

    @property
    def most(self) -> int:
        """Bytes alive at the peak."""
        return round(max(self.alive))

    @property
    def logits_then(self) -> int:
        """Bytes of logits at the peak."""
        return round(self.logits[self.alive.index(max(self.alive))])

    def at_depth(self, own: int, other: "Count", others: int, wanted: int) -> "Count":
        """The count at `wanted` layers on the line through this one, at `own` layers, and another at `others` (ours).

        Within each third the bytes alive rise or fall by the same amount a layer, so its maximum is linear in the depth.
        """
        along = (wanted - own) / (others - own)

        def line(here: tuple, there: tuple) -> tuple:
            return tuple(a + along * (b - a) for a, b in zip(here, there, strict=True))

        return Count(line(self.alive, other.alive), line(self.logits, other.logits))


class Alive(TorchDispatchMode):
    """Follows fake tensors from their making to their release; `timeline` has [bytes alive, of them logits] at each making.

    `vocabulary`: a tensor whose last dimension has this size counts as logits. Tensors of `before` do not count.
    """

    def __init__(self, vocabulary: int, before: list[torch.Tensor]):
        super().__init__()
        self.vocabulary = vocabulary
        self.now = self.logits = 0
        self.timeline: list[tuple[int, int]] = []
        self._known = weakref.WeakSet(tensor.untyped_storage() for tensor in before)

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        """Run the operation and count what it made."""
        if function is torch.ops.aten._local_scalar_dense.default and isinstance(arguments[0], FakeTensor):
            return 0  # a condition on a value that does not exist counts as not met
        made = function(*arguments, **(options or {}))
        for tensor in tree_iter(made):
            # What a sparse tensor is made of was counted as it was made.
            if isinstance(tensor, FakeTensor) and not tensor.is_sparse:
                self._count(tensor)
        return made

    def _count(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage in self._known:
            return
        self._known.add(storage)
        size = storage.nbytes()
        logits = size if tensor.ndim and tensor.shape[-1] == self.vocabulary else 0
        weakref.finalize(storage, self._change, -size, -logits)
        self._change(size, logits)
        self.timeline.append((self.now, self.logits))

    def _change(self, size: int, logits: int) -> None:
        self.now += size
        self.logits += logits


def on_meta(config: PretrainedConfig, adapters: Lora | None, dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    """A model of this shape without values, on the meta device, with adapters where they are asked for."""
    with torch.device("meta"), no_init_weights():
        model = AutoModelForCausalLM.from_config(copy.deepcopy(config), dtype=dtype)
        model.tie_weights()
        return lora.attach(model, adapters, 0)


def shaped(config: PretrainedConfig, adapters: Lora | None, dtype: torch.dtype) -> torch.nn.Module:
    """The same with fake tensors on the CPU, which torch's kernels and autograd take for real ones."""
    model = on_meta(config, adapters, dtype)
    made: dict[int, torch.Tensor] = {}  # tied tensors stay one
    with FakeTensorMode(allow_non_fake_inputs=True):
        for module in model.modules():
            for owned in (module._parameters, module._buffers):
                for name, tensor in owned.items():
                    if tensor is not None and id(tensor) not in made:
                        fake = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")
                        made[id(tensor)] = torch.nn.Parameter(fake) if owned is module._parameters else fake
                    owned[name] = made.get(id(tensor))
    return model


def engine_loss(model: torch.nn.Module, config: PretrainedConfig, device: str) -> ResponseLoss:
    """The engine's loss module around a fake `model`, rewired as it rewires a real one on `device`.

    Whether it may is found out by probes on values, so a small real model of the family is asked.
    """
    with torch.random.fork_rng(devices=[]):
        loss = ResponseLoss(AutoModelForCausalLM.from_config(_small(config), dtype=torch.float32))
    fusing.fuse(model)
    loss.by_example = loss.by_example and device == "cpu"
    if loss.by_example:
        model.set_attn_implementation(loss.model.config._attn_implementation)
    loss.model = model
    return loss


def _small(config: PretrainedConfig) -> PretrainedConfig:
    small = copy.deepcopy(config)
    small.hidden_size = config.num_attention_heads * SMALL_HEAD
    small.vocab_size = SMALL_VOCABULARY
    small.bos_token_id = small.eos_token_id = small.pad_token_id = None
    for name, value in (("head_dim", SMALL_HEAD), ("intermediate_size", SMALL_INNER)):
        if getattr(small, name, None) is not None:
            setattr(small, name, value)
    return of_depth(small, min(SMALL_LAYERS, config.num_hidden_layers))


def of_depth(config: PretrainedConfig, layers: int) -> PretrainedConfig:
    """The same shape with another number of layers."""
    changed = copy.deepcopy(config)
    changed.num_hidden_layers = layers
    if getattr(changed, "layer_types", None):
        changed.layer_types = changed.layer_types[:layers]
    return changed


def one_pass(loss: ResponseLoss, batch: Packed, half: bool, vocabulary: int) -> Count:
    """Run one pass of `batch` forward and backward; what was alive beside parameters and gradients that were there before.

    `half`: computed under autocast to bfloat16, as on a GPU.
    """
    before = [*loss.parameters(), *(p.grad for p in loss.parameters() if p.grad is not None)]
    alive = Alive(vocabulary, before)
    with alive:
        with torch.autocast("cpu", torch.bfloat16) if half else contextlib.nullcontext():
            objective, _ = loss(batch, torch.ones(batch.examples))
        forward = len(alive.timeline)
        objective.backward()
    end = len(alive.timeline)
    cuts = (0, forward, (forward + end) // 2, end)
    most = [max(alive.timeline[a:b], default=(0, 0)) for a, b in zip(cuts, cuts[1:], strict=False)]
    return Count(tuple(now for now, _ in most), tuple(logits for _, logits in most))
