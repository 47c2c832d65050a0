"""Planted tasks: small token sequences whose right source weights are known, for measuring weighting methods.

A source is a way to answer a prompt. The validation and test sets are drawn from the sources in known proportions, so
the right weights are those proportions (checked by training on a grid, `planted_grid.py`). No text and no tokenizer: a
sequence is a list of token ids, so that a task, its base model and a run of the loop take seconds.

Recipes are ours; they follow the paper's small experiments (§4: denoising, multilingual, instruction following).
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from scalebio.allotment import allot
from scalebio.chat import Example
from scalebio.errors import UserError
from scalebio.finetuning import Recipe, train
from scalebio.losses import mean_losses
from scalebio.streams import stream, torch_seed

LETTERS = 16  # tokens that prompts are made of
SEPARATOR = LETTERS
TAGS = LETTERS + 1  # the first of the tokens that name a skill or a preference
VOCABULARY = 32
PROMPT = 6
ROWS = 2000  # of every source
VALIDATION, TEST = 256, 1024
BASE_STEPS = {"poor": 150, "better": 800}
RECIPE = {"batch": 30, "learning_rate": 1e-3, "ramp": 20}


@dataclass(frozen=True)
class Task:
    """Sources, validation and test set of one planted task with one seed; `truth`, the planted shares, sums to 1."""

    name: str
    seed: int
    truth: np.ndarray
    by_source: list[list[Example]]
    validation: list[Example]
    test: list[Example]
    row_length: int
    width: int


def _example(prompt: np.ndarray, answer: np.ndarray, source: int) -> Example:
    ids = np.concatenate([prompt, answer]).astype(np.int64)
    response = np.arange(len(ids)) >= max(len(prompt), 1)  # nothing precedes the first token, so it is not predicted
    return Example(ids, response, source)


def _prompts(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.integers(0, LETTERS, (count, PROMPT))


# Skills: substitution ciphers, the same with every seed. Untagged they conflict: the same prompt has another answer in
# every source, told by the first answer token, and all are equally hard, so that only their proportion matters.
CIPHERS = np.stack([stream(0, "planted cipher", i).permutation(LETTERS) for i in range(6)])

Maker = Callable[[int, int, np.random.Generator], list[Example]]


def _ciphered(
    index: int, rng: np.random.Generator, count: int, mark: int, source: int, backwards=False, corruption=0.0
) -> list[Example]:
    """`count` random prompts, `mark`, and their letters in cipher `index`; a spoiled row answers another prompt."""
    letters = _prompts(rng, count)
    asked = np.where(rng.random((count, 1)) < corruption, _prompts(rng, count), letters)
    answers = CIPHERS[index][asked[:, ::-1] if backwards else asked]
    prompts = np.concatenate([letters, np.full((count, 1), mark)], axis=1)
    return [_example(prompt, answer, source) for prompt, answer in zip(prompts, answers, strict=True)]


def _denoise(source: int, count: int, rng: np.random.Generator, last: int = 4) -> list[Example]:
    """One skill; of source i a share i / `last` of the answers is spoiled, so of source `last` all."""
    return _ciphered(0, rng, count, SEPARATOR, source, backwards=True, corruption=source / last)


def _conflict(source: int, count: int, rng: np.random.Generator) -> list[Example]:
    """Every source answers the same prompts in a cipher of its own, and nothing in the prompt tells which."""
    return _ciphered(source, rng, count, SEPARATOR, source)


def _tagged(source: int, count: int, rng: np.random.Generator) -> list[Example]:
    """As `_conflict`, but the prompt ends with the cipher's tag."""
    return _ciphered(source, rng, count, TAGS + source, source)


def _preference(source: int, count: int, rng: np.random.Generator) -> list[Example]:
    """The same prompts, answered by the source's own mark: nothing to learn but how often each mark is wanted."""
    prompts = np.concatenate([_prompts(rng, count), np.full((count, 1), SEPARATOR)], axis=1)
    return [_example(prompt, np.full(3, TAGS + source), source) for prompt in prompts]


def _language(source: int, count: int, rng: np.random.Generator) -> list[Example]:
    """A Markov chain over the same tokens; each language has its own transitions, the same with every seed."""
    transitions = stream(0, "planted language", source).dirichlet(np.full(VOCABULARY, 0.3), VOCABULARY).cumsum(axis=1)
    tokens = rng.integers(0, VOCABULARY, (count, 16))
    uniform = rng.random((count, 16, 1))
    for at in range(1, 16):
        tokens[:, at] = (transitions[tokens[:, at - 1]] < uniform[:, at]).sum(axis=1).clip(max=VOCABULARY - 1)
    return [_example(row[:0], row, source) for row in tokens]


# name → planted shares, rows of a source, model width
TASKS: dict[str, tuple[list[float], Maker, int]] = {
    "denoise3": ([1, 0, 0], functools.partial(_denoise, last=2), 48),
    "denoise5": ([1, 0, 0, 0, 0], _denoise, 48),
    "lang": ([1, 0, 0, 0, 0], _language, 48),
    "pref4": ([0.4, 0.3, 0.2, 0.1], _preference, 32),
    "pref631": ([0.6, 0.3, 0.1, 0], _preference, 32),
    "pref73": ([0.7, 0.3, 0, 0], _preference, 32),
    "conf631": ([0.6, 0.3, 0.1], _conflict, 48),
    "conf73": ([0.7, 0.3, 0, 0], _conflict, 48),
    "skill2": ([0.5, 0.5, 0, 0, 0, 0], _tagged, 48),
}


def make(name: str, seed: int) -> Task:
    """The named task with fresh rows for every seed; validation and test hold the planted shares exactly.

    Raises UserError for an unknown name.
    """
    if name not in TASKS:
        raise UserError(f"there is no planted task `{name}`; there are {', '.join(TASKS)}.")
    truth, rows, width = TASKS[name]
    by_source = [rows(i, ROWS, stream(seed, "planted", name, "train", i)) for i in range(len(truth))]
    held_out = {}
    for part, total in (("validation", VALIDATION), ("test", TEST)):
        counts = allot(total, {str(i): share for i, share in enumerate(truth) if share})
        held_out[part] = [
            example
            for i, count in counts.items()
            for example in rows(int(i), count, stream(seed, "planted", name, part, i))
        ]
    length = max(len(example.ids) for example in by_source[0])
    return Task(name, seed, np.array(truth), by_source, held_out["validation"], held_out["test"], length, width)


def draw(task: Task, weights: np.ndarray, count: int, rng: np.random.Generator) -> list[Example]:
    """`count` training rows in the proportion of `weights` [sources], each source walked through in a fresh order."""
    counts = allot(count, {str(i): float(share) for i, share in enumerate(weights) if share > 0})
    rows = []
    for i, number in counts.items():
        pool = task.by_source[int(i)]
        order = np.concatenate([rng.permutation(len(pool)) for _ in range(-(-number // len(pool)) or 1)])
        rows += [pool[j] for j in order[:number]]
    return [rows[i] for i in rng.permutation(len(rows))]


def fit(
    model: torch.nn.Module, task: Task, weights: np.ndarray, steps: int, seed: int, purpose: str, **recipe: float
) -> None:
    """Train `model` in place for `steps` steps on rows drawn by `weights` [sources]; `recipe` overrides parts of RECIPE."""
    rows = draw(task, weights, steps * RECIPE["batch"], stream(seed, purpose, task.name, "rows"))
    order = stream(seed, purpose, task.name, "order")
    train(model, rows, Recipe(steps=steps, **(RECIPE | recipe)), task.row_length, order)


@functools.lru_cache(maxsize=4)
def _base_state(name: str, seed: int, steps: int) -> dict:
    task = make(name, seed)
    model = _untrained(task)
    fit(model, task, np.full(len(task.truth), 1 / len(task.truth)), steps, seed, f"base {steps}")
    return model.state_dict()


def _untrained(task: Task) -> LlamaForCausalLM:
    torch.manual_seed(torch_seed(task.seed, "planted base", task.name))
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=task.width,
        intermediate_size=task.width * 8 // 3,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=max(task.row_length, 32),
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
    )
    return LlamaForCausalLM(config)


def base(task: Task, kind: str = "poor") -> LlamaForCausalLM:
    """A four-layer Llama trained on the uniform mixture for BASE_STEPS[kind] steps; a fresh copy at every call."""
    model = _untrained(task)
    model.load_state_dict(_base_state(task.name, task.seed, BASE_STEPS[kind]))
    return model.eval()


def trained_loss(task: Task, base_kind: str, weights: np.ndarray, steps: int, seed: int, **recipe: float) -> float:
    """Mean test loss (nats per answer token) of the base after `fit` on rows drawn by `weights` [sources]."""
    model = base(task, base_kind)
    fit(model, task, np.asarray(weights), steps, seed, "final", **recipe)
    return mean_losses(model, task.test, task.row_length).mean().item()
