"""Answers of a causal language model to chat conversations: batched, greedy or sampled, the same each time.

Used for MT-Bench answers and for task accuracy. Sampling goes through the Gumbel-max identity: the arg max of
`logits / T + Gumbel noise` is a draw from `softmax(logits / T)`. So greedy and sampled conversations share one batch,
and each sampled one draws from its own generator, which depends on its seed alone.

What is guaranteed: the same model, conversations, seeds and batch size on the same machine give the same answers.
The random numbers of a conversation do not depend on the others in its batch; its logits do, by float rounding
(padding changes the order of sums), so another batch size can flip a near tie. No top-k or top-p cut is made.
"""

import sys

import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from scalebio.errors import UserError
from scalebio.progress import Progress

Conversation = list[dict]  # [{"role": "user" | "assistant" | "system", "content": str}, ...]
GREEDY_BELOW = 1e-4  # FastChat's bound: a lower temperature means greedy


def generate(
    model,
    tokenizer,
    conversations: list[Conversation],
    *,
    max_new_tokens: int,
    batch_size: int,
    temperatures: list[float] | None = None,
    seeds: list[int] | None = None,
    max_length: int,
) -> list[str]:
    """One answer per conversation, in their order, without special tokens and outer white space.

    `max_length` bounds prompt and answer together, in tokens; longer prompts are shortened as in `encode` and counted
    on stderr. `temperatures` unset: all greedy. `seeds` are needed where a temperature is above 1e-4. The model's
    training mode is restored. Raises UserError for a tokenizer without a chat template or too small a `max_length`.
    """
    temperatures = temperatures or [0.0] * len(conversations)
    if any(temperature >= GREEDY_BELOW for temperature in temperatures) and seeds is None:
        raise ValueError("sampling needs `seeds`, one per conversation")
    if max_new_tokens >= max_length:
        raise UserError(
            f"max_new_tokens {max_new_tokens} leaves no room for a prompt in max_length {max_length}. "
            "Lower the first or raise the second."
        )
    prompts, shortened = encode(tokenizer, conversations, max_length - max_new_tokens)
    if any(shortened):
        print(
            f"{sum(shortened)} of {len(prompts)} prompts were longer than {max_length - max_new_tokens} tokens; "
            "their middle was cut out",
            file=sys.stderr,
        )
    # Longest first: batches hold rows of like length, and a lack of memory shows at once.
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
    answers = [""] * len(prompts)
    was_training = model.training
    model.eval()
    try:
        report = Progress("answers")
        for first in range(0, len(order), batch_size):
            rows = order[first : first + batch_size]
            noise = [
                (temperatures[i], torch.Generator().manual_seed(seeds[i])) if temperatures[i] >= GREEDY_BELOW else None
                for i in rows
            ]
            texts = _batch(model, tokenizer, [prompts[i] for i in rows], noise, max_new_tokens)
            for i, answer in zip(rows, texts, strict=True):
                answers[i] = answer
            report(first + len(rows), len(order))
    finally:
        model.train(was_training)
    return answers


def encode(tokenizer, conversations: list[Conversation], budget: int) -> tuple[list[list[int]], list[bool]]:
    """Token ids of each conversation up to where the assistant speaks, and whether it had to be shortened.

    A prompt of more than `budget` tokens loses its middle: the start (system text, task) and the end (last question,
    the template's opening of the answer) carry more than what stands between them.
    """
    if not tokenizer.chat_template:
        raise UserError(
            f"The tokenizer {tokenizer.name_or_path or type(tokenizer).__name__!r} has no chat template, so its prompt "
            "format is unknown. Use an instruction-tuned model, or set `chat_template` in its tokenizer folder."
        )
    prompts, shortened = [], []
    for conversation in conversations:
        ids = tokenizer.apply_chat_template(conversation, add_generation_prompt=True, return_dict=False)
        shortened.append(len(ids) > budget)
        prompts.append(ids[: budget // 2] + ids[len(ids) - (budget - budget // 2) :] if shortened[-1] else ids)
    return prompts, shortened


class _GumbelNoise(LogitsProcessor):
    """Turns the arg max of greedy search into a draw from softmax(logits / T), row by row."""

    def __init__(self, rows: list[tuple[float, torch.Generator] | None]):
        self.rows = rows

    def __call__(self, input_ids, scores):
        scores = scores.clone()
        for row, setting in enumerate(self.rows):
            if setting:
                temperature, generator = setting
                # Drawn on the CPU, so that a run on a GPU uses the same numbers; -log of an Exp(1) draw is Gumbel.
                gumbel = -torch.empty(scores.shape[1]).exponential_(generator=generator).log()
                scores[row] = scores[row].float() / temperature + gumbel.to(scores.device)
        return scores


def stop_tokens(config, tokenizer) -> list[int]:
    """End-of-answer ids of a generation config and the tokenizer; chat models often name theirs in one place only."""
    configured = config.eos_token_id
    ids = configured if isinstance(configured, list) else [configured]
    return sorted({i for i in [*ids, tokenizer.eos_token_id] if i is not None})


@torch.inference_mode()
def _batch(model, tokenizer, prompts: list[list[int]], noise: list, max_new_tokens: int) -> list[str]:
    """Answers to one batch of prompts, padded on the left so that all answers start in the same column."""
    stops = stop_tokens(model.generation_config, tokenizer)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else (stops or [0])[0]
    width = max(map(len, prompts))
    ids = torch.tensor([[pad] * (width - len(prompt)) + prompt for prompt in prompts], device=model.device)
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=model.device)
    # Sampling is ours, so the sampling defaults that many models carry are overridden here.
    config = GenerationConfig(
        max_new_tokens=max_new_tokens,
        do_sample=False,
        num_beams=1,
        temperature=1.0,
        top_p=1.0,
        top_k=50,
        use_cache=True,
        eos_token_id=stops or None,
        pad_token_id=pad,
    )
    sampled = LogitsProcessorList([_GumbelNoise(noise)] if any(noise) else [])
    output = model.generate(input_ids=ids, attention_mask=mask, generation_config=config, logits_processor=sampled)
    texts = []
    for row in output[:, width:].tolist():
        end = next((position for position, token in enumerate(row) if token in stops), len(row))
        texts.append(tokenizer.decode(row[:end], skip_special_tokens=True).strip())
    return texts
