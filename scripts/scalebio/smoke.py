"""One step of each training mode on random weights and random tokens: does it run here, and in the memory predicted?"""

import gc
import time
from collections.abc import Iterator

import numpy as np
import psutil
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from scalebio import costs, lora, predicted_memory
from scalebio.bilevel import Bilevel
from scalebio.chat import Example
from scalebio.config import Lisa, Lora, sections
from scalebio.config_methods import ScaleBiO
from scalebio.finetuning import FineTuning, Recipe
from scalebio.parallel import Parallel, local
from scalebio.streams import stream

TRAINS = {
    "full": None,
    "lisa": Lisa(layers=2, interval=1),
    "frozen embeddings": Lisa(layers=2, interval=1, embeddings=False),
    "lora": Lora(rank=16, alpha=32),
}


def modes(shape: dict, tokens: int, parallel: Parallel) -> Iterator[dict]:
    """Rows {job, trains, predicted_gb, predicted_peak_gb, state_gb, peak_gb, seconds, outcome}, one a mode, as each is done.

    `predicted_gb`: parameters, gradients and optimiser state of one process; `state_gb`: the same, counted from the
    tensors after the step, without the gradients, which are gone by then; `peak_gb`: of the GPU, activations included, and
    `predicted_peak_gb` what it should be. Both are without what CUDA holds by itself.
    """
    for job, models in (("reweighting", 2), ("fine-tuning", 1)):
        for trains in TRAINS:
            held = predicted(trains, shape, models, parallel.world, parallel.shard)
            peak = predicted_peak(trains, shape, models, tokens, parallel)
            row = {"job": job, "trains": trains, "predicted_gb": held.total / 1e9}
            row["predicted_peak_gb"] = (peak.total - peak.base) / 1e9
            # Offloaded, what is held rests where the room is, and the pass does not.
            if (held.total if parallel.offload else peak.total) > (room := _room(parallel)):
                yield row | {"outcome": f"does not fit: {room / 1e9:.0f} GB per process"}
                continue
            yield row | _one(job, trains, shape, tokens, parallel)
            gc.collect()
            if parallel.device.type == "cuda":
                torch.cuda.empty_cache()


def predicted(trains: str, shape: dict, models: int, processes: int = 1, shard: bool = False) -> costs.Held:
    """What a mode of `TRAINS` will hold with `models` models of a shape."""
    model, layers = _model(trains, shape, torch.device("meta"))
    return costs.held(model, layers, models, processes, shard)


def predicted_peak(trains: str, shape: dict, models: int, tokens: int, parallel: Parallel) -> predicted_memory.Peak:
    """The same with one row of `tokens` tokens in a pass."""
    return predicted_memory.peak(
        LlamaConfig(**shape),
        **sections(TRAINS[trains]),
        models=models,
        micro_batch=1,
        max_length=tokens,
        processes=parallel.world,
        shard=parallel.shard,
        offload=parallel.offload,
        recompute=parallel.recompute,
        device=parallel.device.type,
    )


def line(row: dict) -> str:
    """One line for a reader."""
    text = f"{row['job']:12} {row['trains']:18} predicted {row['predicted_gb']:8.3f} GB, peak {row['predicted_peak_gb']:.3f} GB"
    if "seconds" in row:
        peak = f", peak {row['peak_gb']:.3f} GB" if row["peak_gb"] is not None else ""
        text += f"; between steps {row['state_gb']:.3f} GB{peak}, {row['seconds']:.2f} s a step"
    return f"{text}: {row['outcome']}"


def _room(parallel: Parallel) -> int:
    if parallel.device.type == "cuda" and not parallel.offload:
        return torch.cuda.get_device_properties(parallel.device).total_memory
    return psutil.virtual_memory().total // parallel.world


def _model(trains: str, shape: dict, device: torch.device) -> tuple[torch.nn.Module, Lisa | None]:
    """A random model that trains as a mode of `TRAINS` says, and LISA's settings, where it does."""
    torch.manual_seed(0)
    with device:
        model = LlamaForCausalLM(LlamaConfig(**shape))
    chosen = sections(TRAINS[trains])
    return lora.attach(model, chosen["lora"], 0), chosen["lisa"]


def _one(job: str, trains: str, shape: dict, tokens: int, parallel: Parallel) -> dict:
    rng = stream(0, "smoke tokens")
    response = np.arange(tokens) >= tokens // 2
    examples = [Example(rng.integers(0, shape["vocab_size"], tokens), response, source) for source in (0, 1)]
    # Sharded, each process keeps its part only, so the whole may pass through the CPU.
    model, layers = _model(trains, shape, torch.device("cpu") if parallel.shard else parallel.device)
    if parallel.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    if job == "reweighting":
        settings = ScaleBiO(kind="scalebio", steps=2, learning_rate=1e-6, per_source=1, validation_batch=1, ramp=0)
        run = Bilevel(model, [[examples[0]], [examples[1]]], [examples[0]], settings, 0, tokens, layers, parallel)
        learners = (run.u, run.w)
    else:
        run = FineTuning(
            model,
            examples,
            Recipe(2, 2, 1e-6, 0),
            tokens,
            stream(0, "order"),
            stream(0, "layers"),
            layers,
            parallel=parallel,
        )
        learners = (run.learner,)
    start = time.perf_counter()
    run.step()
    seconds = time.perf_counter() - start
    # By identity: u and w with adapters share their frozen weights.
    held = {id(parameter): parameter for learner in learners for parameter in learner.loss.parameters()}
    for learner in learners:
        for moments in learner.optimizer.state.values():
            held |= {id(moment): moment for key, moment in moments.items() if key != "step"}
    state = sum(local(tensor).numel() * tensor.element_size() for tensor in held.values())
    peak = torch.cuda.max_memory_allocated() / 1e9 if parallel.device.type == "cuda" else None
    return {"state_gb": state / 1e9, "peak_gb": peak, "seconds": seconds, "outcome": "ran"}
