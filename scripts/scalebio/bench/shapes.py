"""The models and batches that a step is measured on: GPT-2 with random weights, token counts as in Alpaca.

Time and memory depend on how long the rows are and how much of each is answer, not on what the tokens say, so token
ids are random and lengths are drawn from those of real rows: prompts in the Alpaca template and answers, in the
released demonstration data of arXiv 2406.19976's repository (10,000 training rows, 9 of Alpaca to 1 of Alpaca-GPT4,
and 1,000 validation rows of Alpaca-GPT4; rows with an empty answer left out).
"""

from dataclasses import dataclass

import numpy as np

from scalebio.chat import Example
from scalebio.streams import stream, torch_seed

PROBABILITIES = (0, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1)
# Quantiles of token counts at these probabilities, end mark included, measured on the rows named above: with a
# byte-level BPE of 4,096 tokens trained on them (`base_models.train_tokenizer`), and with SmolLM2's tokenizer of
# 49,152 tokens, which stands in for GPT-2's of 50,257.
QUANTILES = {
    4096: {
        "training": {
            "prompt": (34, 38, 40, 43, 49, 68, 81, 93, 134, 388),
            "response": (2, 6, 10, 20, 59, 118, 182, 264, 463, 1154),
        },
        "validation": {
            "prompt": (35, 39, 40, 43, 50, 69, 80, 92, 132, 207),
            "response": (3, 10, 14, 31, 120, 305, 443, 533, 686, 882),
        },
    },
    49152: {
        "training": {
            "prompt": (34, 37, 38, 41, 46, 64, 75, 84, 117, 330),
            "response": (2, 5, 8, 15, 46, 92, 142, 206, 357, 929),
        },
        "validation": {
            "prompt": (35, 37, 38, 41, 47, 65, 75, 85, 113, 179),
            "response": (2, 8, 11, 24, 98, 235, 342, 400, 529, 588),
        },
    },
}


@dataclass(frozen=True)
class Shape:
    """A model of `layers` layers of width `width`, and rows of at most `longest` tokens in batches of `batch`.

    `lengths` names the tokenizer in QUANTILES whose token counts the rows have.
    """

    layers: int
    width: int
    heads: int
    vocabulary: int
    batch: int
    longest: int
    lengths: int


SHAPES = {
    "6x256": Shape(layers=6, width=256, heads=4, vocabulary=4096, batch=8, longest=512, lengths=4096),
    "gpt2-small": Shape(layers=12, width=768, heads=12, vocabulary=50257, batch=4, longest=256, lengths=49152),
    # For tests: a second or two, and far too small to tell anything.
    "minuscule": Shape(layers=3, width=16, heads=2, vocabulary=64, batch=2, longest=32, lengths=4096),
}


def describe(name: str) -> str:
    """A shape in words, for figures."""
    shape = SHAPES[name]
    model = f"{shape.layers} layers × {shape.width}, {shape.vocabulary:,} tokens"
    return f"{name}: {model}; batch {shape.batch} × ≤ {shape.longest}"


def make_model(shape: Shape, seed: int = 0):
    """A GPT-2 of that shape with random weights and GPT-2's own dropout of 0.1, float32, attention by torch's SDPA."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(torch_seed(seed, "bench weights"))
    config = GPT2Config(
        vocab_size=shape.vocabulary,
        n_positions=shape.longest,
        n_embd=shape.width,
        n_layer=shape.layers,
        n_head=shape.heads,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
        attn_implementation="sdpa",
    )
    return GPT2LMHeadModel(config)


def typical_layers(shape: Shape) -> list[int]:
    """The two layers that all variants train: nearest to the mean lowest and mean highest of two drawn at random.

    Fixed, because with frozen embeddings the backward pass ends at the lower one, and what a step costs depends on it.
    """
    return [round((shape.layers - 2) / 3), round((2 * shape.layers - 1) / 3)]


@dataclass(frozen=True)
class Batch:
    """Rows of one outer step: `training`, the same for u and w, source by source, and `validation`."""

    training: list[Example]
    validation: list[Example]


SOURCES = 2
SPLITS = ("training", "validation")


def make_batches(shape: Shape, count: int, seed: int = 0) -> list[Batch]:
    """The first `count` batches; every variant is given the same ones in the same order."""
    return [
        Batch(*(_rows(shape, split, shape.batch, stream(seed, "bench rows", split, k)) for split in SPLITS))
        for k in range(count)
    ]


def _rows(shape: Shape, split: str, count: int, rng: np.random.Generator) -> list[Example]:
    """Rows with lengths by inverse transform of the quantiles, cut at `longest`; at least one answer token is kept."""
    rows = []
    for i in range(count):
        quantiles = QUANTILES[shape.lengths][split]
        prompt, response = (
            max(1, round(float(np.interp(rng.random(), PROBABILITIES, quantiles[part]))))
            for part in ("prompt", "response")
        )
        prompt = min(prompt, shape.longest - 1)
        length = min(prompt + response, shape.longest)
        # 0 is the padding id.
        ids = rng.integers(1, shape.vocabulary, length)
        rows.append(Example(ids, np.arange(length) >= prompt, source=i * SOURCES // count))
    return rows
