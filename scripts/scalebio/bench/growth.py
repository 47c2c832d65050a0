"""How the cost of an outer step grows: with the number of sources, the length of examples, and the size of the model.

Each setting runs in a process of its own (see `measure`). The global batch stays the same while sources grow in number, so
whatever they cost beyond their rows shows.
"""

import time

import numpy as np

from scalebio.bench.measure import peak_mb, resident_mb
from scalebio.chat import Example
from scalebio.streams import stream, torch_seed

BATCH, VALIDATION, VOCABULARY = 64, 16, 2048
PLAIN = {"sources": 8, "length": 64, "width": 128}
GROWS = {"sources": (2, 4, 8, 16, 32, 64), "length": (32, 64, 128, 256, 512), "width": (64, 128, 256, 384)}
WARM_UP, STEPS = 2, 7


def settings() -> list[dict]:
    """Every setting once: {varied, sources, length, width}."""
    return [PLAIN | {varied: value, "varied": varied} for varied, values in GROWS.items() for value in values]


def make(sources: int, length: int, width: int):
    """The loop on a four-layer Llama of random weights and random rows; the global batch is the same for all `sources`."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from scalebio.bilevel import Bilevel
    from scalebio.config import Lisa
    from scalebio.config_methods import ScaleBiO

    rng = stream(0, "growth tokens")

    def rows(count: int) -> list[Example]:
        response = np.arange(length) >= length // 2
        return [Example(ids, response) for ids in rng.integers(0, VOCABULARY, (count, length))]

    torch.manual_seed(torch_seed(0, "growth weights"))
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=width * 8 // 3,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=length,
        tie_word_embeddings=True,
    )
    settings = ScaleBiO(
        kind="scalebio",
        steps=10**6,
        ramp=0,
        learning_rate=1e-5,
        per_source=BATCH // sources,
        validation_batch=VALIDATION,
    )
    by_source = [rows(BATCH // sources) for _ in range(sources)]
    layers = Lisa(layers=2, interval=10**6)
    return Bilevel(LlamaForCausalLM(config), by_source, rows(VALIDATION), settings, 0, length, layers)


def measure(sources: int, length: int, width: int) -> dict:
    """{cpu_seconds: the least of several warm steps, peak_mb: above the imports, parameters} of the loop itself.

    The least, because what disturbs a measurement only ever adds to it.
    """
    import torch
    import transformers  # noqa: F401 so that its import counts as one

    torch.set_num_threads(1)
    before = resident_mb()
    run = make(sources, length, width)
    seconds = [cpu_seconds(run) for _ in range(WARM_UP + STEPS)]
    return {
        "cpu_seconds": min(seconds[WARM_UP:]),
        "peak_mb": peak_mb() - before,
        "parameters": sum(parameter.numel() for parameter in run.u.parameters),
    }


def cpu_seconds(run) -> float:
    """Processor time of one step of the loop."""
    start = time.process_time()
    run.step()
    return time.process_time() - start
