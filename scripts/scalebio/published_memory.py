"""Published memory of LISA, LoRA and full training, beside what `predicted_memory.peak` gives for the same settings.

LISA's authors measure in bfloat16 throughout, Adam's moments too, batch 1 (LMFlow's `examples/detail_memory.py`); the length is
that script's argument, taken as 1,024 here, no checkpointing. Gradients and activations are counted together, as the sum of
that script's parts. CUDA's own memory is not in any of the figures. What cannot be the same: the script computes logits of all
positions, the engine of answers in chunks; their LoRA also adapts embedding and head. The arithmetic is of bfloat16 weights and
gradients, float32 moments and master weights, without activations.
"""

from dataclasses import dataclass
from functools import cache

import torch
from transformers import AutoConfig, PretrainedConfig

from scalebio import known_shapes
from scalebio.config import Lisa, Lora
from scalebio.predicted_memory import Peak, peak

LLAMA_2_7B = {"model_type": "llama", "vocab_size": 32_000, "hidden_size": 4096, "intermediate_size": 11_008}
LLAMA_2_7B |= {"num_hidden_layers": 32, "num_attention_heads": 32}
QWEN2_7B, QWEN25_32B = known_shapes.KNOWN["Qwen/Qwen2-7B"], known_shapes.KNOWN["Qwen/Qwen2.5-32B"]
LLAMA_3_8B = known_shapes.KNOWN["meta-llama/Meta-Llama-3-8B"]
SHAPES = {
    "GPT2-Small": known_shapes.KNOWN["openai-community/gpt2"],
    "TinyLlama": {"model_type": "llama", "vocab_size": 32_000, "hidden_size": 2048, "intermediate_size": 5632}
    | {"num_hidden_layers": 22, "num_attention_heads": 32, "num_key_value_heads": 4},
    "Phi-2": {"model_type": "phi", "vocab_size": 51_200, "hidden_size": 2560, "intermediate_size": 10_240}
    | {"num_hidden_layers": 32, "num_attention_heads": 32, "partial_rotary_factor": 0.4},
    "Mistral-7B": {"model_type": "mistral", "vocab_size": 32_000, "hidden_size": 4096, "intermediate_size": 14_336}
    | {"num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "sliding_window": None},
    "LLaMA-2-7B": LLAMA_2_7B,
    "LLaMA-2-70B": LLAMA_2_7B
    | {"hidden_size": 8192, "intermediate_size": 28_672, "num_hidden_layers": 80}
    | {"num_attention_heads": 64, "num_key_value_heads": 8},
    "Llama-3-8B": LLAMA_3_8B,
    "Llama-3.2-3B": LLAMA_3_8B
    | {"hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 28, "num_attention_heads": 24}
    | {"tie_word_embeddings": True},
    "Qwen2-7B": QWEN2_7B,
    "Gemma-2-9B": known_shapes.KNOWN["google/gemma-2-9b"],
    "Qwen2.5-32B": QWEN25_32B,
}
TOKENS = 1024
WAYS = {"full": {}, "LoRA 128": {"lora": Lora(rank=128, alpha=32)}, "LoRA 256": {"lora": Lora(rank=256, alpha=32)}}
WAYS |= {"LoRA 512": {"lora": Lora(rank=512, alpha=32)}, "LoRA 16": {"lora": Lora(rank=16, alpha=32)}}
WAYS |= {f"LISA {gamma}": {"lisa": Lisa(layers=gamma, interval=20)} for gamma in (2, 4)}
# Peak memory in GB, table 1 of the LISA paper (arXiv 2403.17919): full, LoRA of rank 128, 256, 512, and E+H with 2 and 4 layers.
LISA_COLUMNS = ("full", "LoRA 128", "LoRA 256", "LoRA 512", "LISA 2", "LISA 4")
LISA_TABLE = {
    "GPT2-Small": (3.8, 3.3, 3.5, 3.7, 3.3, 3.4),
    "TinyLlama": (13, 7.9, 8.6, 10, 8.0, 8.3),
    "Phi-2": (28, 14.3, 15.5, 18, 14.6, 15),
    "Mistral-7B": (59, 23, 26, 28, 23, 24),
    "LLaMA-2-7B": (59, 23, 26, 28, 23, 24),
}
# Sums in GiB for LISA with two layers, of one and of two models.
ARITHMETIC = {
    "LLaMA-2-7B": (21.2, 42.5),
    "Llama-3-8B": (34.3, 68.7),
    "Qwen2-7B": (34.5, 68.9),
    "Gemma-2-9B": (34.3, 68.7),
    "Qwen2.5-32B": (94.0, 188.1),
}
# Measured on an H100, in GB: Soup's LISA with two layers, LoRA of rank 16 and full training.
SOUP = {
    ("Llama-3-8B", "LISA 2"): 52.1,
    ("Llama-3-8B", "LoRA 16"): 34.6,
    ("Llama-3.2-3B", "full"): 57.6,
    ("Llama-3.2-3B", "LISA 2"): 19.4,
    ("Llama-3.2-3B", "LoRA 16"): 15.9,
}


@dataclass(frozen=True)
class Figure:
    """One published figure and ours, in `unit` bytes (GB or GiB); `ratio` is ours over theirs."""

    source: str
    model: str
    trains: str
    published: float
    predicted: float
    unit: int = 10**9

    @property
    def ratio(self) -> float:
        """Ours over theirs."""
        return self.predicted / self.published


def config(model: str) -> PretrainedConfig:
    """The shape of a model of `SHAPES`."""
    return AutoConfig.for_model(**SHAPES[model])


@cache
def in_bfloat16(model: str, trains: str, models: int = 1) -> Peak:
    """The prediction with everything in bfloat16, one row of TOKENS tokens."""
    settings = {"lisa": None, "lora": None, "models": models, "micro_batch": 1, "max_length": TOKENS}
    return peak(config(model), **settings | WAYS[trains], device="cuda", dtype=torch.bfloat16)


def lisa_table() -> list[Figure]:
    """Every entry of the LISA paper's table that one process can be asked for."""
    found = []
    for model, row in LISA_TABLE.items():
        for trains, published in zip(LISA_COLUMNS, row, strict=True):
            one = in_bfloat16(model, trains)
            found.append(Figure("LISA, table 1", model, trains, published, (one.total - one.base) / 1e9))
    return found


def arithmetic() -> list[Figure]:
    """Weights, gradients, moments and master weights under LISA with two layers."""
    found = []
    for model, sums in ARITHMETIC.items():
        one = in_bfloat16(model, "LISA 2")
        held = (one.parameters + one.gradients + 2 * one.states + 2 * one.gradients) / 2**30
        found += [
            Figure("arithmetic", model, f"LISA 2, {models} model{'s' * (models > 1)}", theirs, models * held, 2**30)
            for models, theirs in zip((1, 2), sums, strict=True)
        ]
    return found


def soup() -> list[Figure]:
    """Soup's measurements, whose settings are not stated; float32 moments and master weights are assumed, as in the arithmetic."""
    found = []
    for (model, trains), published in SOUP.items():
        one = in_bfloat16(model, trains)
        found.append(
            Figure(
                "Soup, H100", model, trains, published, (one.total - one.base + one.states + 2 * one.gradients) / 1e9
            )
        )
    return found
