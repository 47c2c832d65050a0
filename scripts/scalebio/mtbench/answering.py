"""A model's answers to two-turn questions, in FastChat's answer rows.

The tokenizer's own chat template is used; FastChat guesses one from the model's name, and guesses wrong quietly.
MT-Bench's categories have FastChat's temperatures; questions made from a test set are answered greedily.
"""

import hashlib
import json

from scalebio.generation import encode, generate
from scalebio.mtbench.questions import MT_BENCH
from scalebio.streams import torch_seed

# fastchat/llm_judge/common.py, temperature_config; the four other categories are greedy.
TEMPERATURES = {"writing": 0.7, "roleplay": 0.7, "stem": 0.1, "humanities": 0.1}


def answer(
    model,
    tokenizer,
    questions: list[dict],
    *,
    model_id: str,
    seed: int,
    max_new_tokens: int,
    batch: int,
    max_length: int,
) -> list[dict]:
    """One row per question: FastChat's fields, and `shortened`: whether the prompt of a turn lost its middle.

    `max_new_tokens` is per turn; `max_length` bounds prompt and answer together, in tokens. Sampling depends on
    (seed, question, turn) alone. `answer_id` is a hash of the content and `tstamp` 0, so that the same run writes the
    same bytes.
    """
    temperatures = [TEMPERATURES.get(q["category"], 0.0) if q["set"] == MT_BENCH else 0.0 for q in questions]
    conversations: list[list[dict]] = [[] for _ in questions]
    shortened: list[list[bool]] = [[] for _ in questions]
    for turn in (1, 2):
        for conversation, question in zip(conversations, questions, strict=True):
            conversation.append({"role": "user", "content": question["turns"][turn - 1]})
        for flags, cut in zip(shortened, encode(tokenizer, conversations, max_length - max_new_tokens)[1], strict=True):
            flags.append(cut)
        texts = generate(
            model,
            tokenizer,
            conversations,
            max_new_tokens=max_new_tokens,
            batch_size=batch,
            temperatures=temperatures,
            seeds=[torch_seed(seed, "mtbench answers", question["question_id"], turn) for question in questions],
            max_length=max_length,
        )
        for conversation, text in zip(conversations, texts, strict=True):
            conversation.append({"role": "assistant", "content": text})
    rows = []
    for question, conversation, flags in zip(questions, conversations, shortened, strict=True):
        turns = [message["content"] for message in conversation if message["role"] == "assistant"]
        content = json.dumps([model_id, question["question_id"], question["turns"], turns])
        rows.append(
            {
                "question_id": question["question_id"],
                "answer_id": hashlib.sha256(content.encode()).hexdigest()[:22],
                "model_id": model_id,
                "choices": [{"index": 0, "turns": turns}],
                "tstamp": 0.0,
                "shortened": flags,
            }
        )
    return rows
