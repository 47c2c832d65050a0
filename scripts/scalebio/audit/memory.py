"""Whether a job fits: its predicted peak in each process against the card, or against the main memory that it asks for.

Training is predicted by `predicted_memory`; what is held to answer questions is counted here: the parameters in float32, and the keys
and values of a batch of conversations.
"""

from dataclasses import dataclass, replace

from transformers import PretrainedConfig

from scalebio import memory_by_mode
from scalebio.audit.work import Work
from scalebio.config import Hardware, Lisa, Lora, Model
from scalebio.confirmation import WHOLE_GRADIENTS
from scalebio.known_shapes import KNOWN
from scalebio.predicted_memory import CPU_BASE, CUDA_BASE, Peak, peak

FITS, TIGHT, TOO_LARGE, UNKNOWN = "fits", "tight", "does not fit", "not known"
GB, FLOAT32 = 1e9, 4
# Above this share of what there is a job may still fail: allocators leave gaps, and communication wants buffers (ours).
TIGHT_SHARE = 0.9


@dataclass(frozen=True)
class Fit:
    """What one process is predicted to hold against what it has, in bytes; `change`: what to do about it, if anything."""

    verdict: str
    peak: Peak | None = None
    limit: float | None = None
    limited_by: str = ""
    change: str = ""


def known_shape(model: Model, folder: str | None) -> PretrainedConfig | None:
    """The shape of a model; None where neither the study, `known_shapes` nor a fetched model in `folder` says it."""
    if model.scratch or (model.hub and model.hub.id in KNOWN) or folder or model.path:
        return memory_by_mode.shape(model, folder or model.path)
    return None


def training(
    model: Model, config: PretrainedConfig, trains: dict[str, Lisa | Lora | None], work: Work, hardware: Hardware
) -> Peak:
    """What a process of a training job holds at most; `trains` is as `Model.what_trains` gives it."""

    def held(models: int, gradients: int, lisa: Lisa | None, lora: Lora | None) -> Peak:
        found = peak(
            config,
            lisa=lisa,
            lora=lora,
            models=models,
            micro_batch=hardware.micro_batch,
            max_length=model.max_length,
            processes=hardware.nodes * hardware.processes,
            shard=hardware.shard,
            offload=hardware.offload,
            recompute=hardware.recompute,
            device="cuda" if hardware.gpus else "cpu",
        )
        return replace(found, gradients=found.gradients * (1 + gradients))

    found = held(work.models, work.gradients, **trains)
    if not work.check_gradients:
        return found
    # The check follows the loop, with one model, and of all parameters where their gradients fit (`confirmation.confirm_run`).
    whole = work.check_gradients * FLOAT32 * memory_by_mode.parameters(config) <= WHOLE_GRADIENTS
    check = held(1, work.check_gradients - 1, **({"lisa": None, "lora": None} if whole else trains))
    return max(found, check, key=lambda one: one.total)


def answering(config: PretrainedConfig, work: Work, length: int, hardware: Hardware) -> Peak:
    """What the one process holds that computes test losses and generates answers, in float32 (`base_models.load`).

    Keys and values of `work.batch` conversations of `length` tokens; activations are left out, which are small without gradients.
    """
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    kept = 2 * config.num_hidden_layers * heads * width * length * work.batch * FLOAT32 if work.generated else 0
    logits = (work.batch if work.generated else length) * config.vocab_size * FLOAT32
    base = CUDA_BASE if hardware.gpus else CPU_BASE
    return Peak(memory_by_mode.parameters(config) * FLOAT32, 0, 0, kept, logits, base)


def main_memory(parameters: int, states: int, models: int, whole: int, hardware: Hardware) -> float:
    """Bytes of main memory that a job on GPUs takes on a node: `whole` copies of the model at once while it is read or put together.

    Where the model is split, the first process alone holds it whole; what `offload` keeps there comes on top, split over the nodes.
    """
    readers = 1 if hardware.shard else hardware.processes
    rests = models * (parameters * FLOAT32 + states) / hardware.nodes if hardware.offload else 0
    return parameters * FLOAT32 * whole * readers + rests + CPU_BASE * hardware.processes


def judged(held: Peak | None, hardware: Hardware, scratch: bool, why_unknown: str = "") -> Fit:
    """The verdict on a peak: against the card's memory on GPUs, else against the main memory that each process has."""
    if held is None:
        return Fit(UNKNOWN, change=why_unknown)
    if hardware.gpus:
        if not (card := hardware.one_gpu):
            return Fit(UNKNOWN, held, change="say which card it is: `hardware.card`, or `hardware.gpu_memory_gb`")
        limit, by = card.memory_gb * GB, f"{card.memory_gb:g} GB of {hardware.card or 'the card'}"
    else:
        asked = hardware.memory_gb or (2 if scratch else 8)
        limit, by = asked * GB / hardware.processes, f"{asked:g} GB of main memory"
    share = held.total / limit
    verdict = FITS if share <= TIGHT_SHARE else TIGHT if share <= 1 else TOO_LARGE
    return Fit(verdict, held, limit, by)


def halved(held: Peak) -> Peak:
    """The same with two bytes a number instead of four, as vLLM holds a model."""
    return Peak(held.parameters // 2, 0, 0, held.activations // 2, held.logits // 2, held.base)


def advised(fit: Fit, what: str) -> Fit:
    """The same verdict with what to change."""
    return replace(fit, change=what or fit.change)


def change(fit: Fit, trains: dict[str, Lisa | Lora | None], hardware: Hardware, trained: bool, asks: bool) -> str:
    """What to change where a job does not fit or hardly does; empty where it fits. `asks`: it asks questions, so vLLM may do it."""
    if fit.verdict not in (TIGHT, TOO_LARGE):
        return ""
    held, needed = fit.peak, f"{fit.peak.total / TIGHT_SHARE / GB:,.0f} GB"
    if not hardware.gpus:
        return f"raise `hardware.memory_gb` to {held.total * hardware.processes / TIGHT_SHARE / GB:,.1f} or more"
    if not trained:
        other = "set `engine: vllm` (two bytes a parameter), or " if asks else ""
        if held.total - held.activations < TIGHT_SHARE * fit.limit and held.activations > held.logits:
            other = f"lower the evaluation's `batch`, {other}"
        return f"one process on one GPU holds all of it: {other}take a card of {needed} or more"
    ways = []
    if not hardware.shard:
        ways.append("`shard: true` on several GPUs")
    elif not hardware.offload and held.parameters + held.states > held.activations + held.logits:
        ways.append("`offload: true`")
    if not hardware.recompute and held.activations > held.parameters:
        ways.append("`recompute: true`")
    if hardware.micro_batch != 1 and held.activations + held.logits > held.parameters:
        ways.append("`micro_batch: 1`")
    if trains["lisa"] is None and trains["lora"] is None:
        ways.append("`lisa` or `lora` in the model")
    elif trains["lisa"] and trains["lisa"].embeddings:
        ways.append("`lisa.embeddings: false`")
    ways.append(f"more GPUs, or cards of {needed}" if hardware.shard else f"a card of {needed}")
    return "try " + ", ".join(ways)
