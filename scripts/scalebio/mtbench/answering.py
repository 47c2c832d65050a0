"""A model's answers to two-turn questions, in FastChat's answer rows.

The tokenizer's own chat template is used; FastChat guesses one from the model's name, and guesses wrong quietly.
MT-Bench's categories have FastChat's temperatures; questions made from a test set are answered greedily.
"""

import hashlib
import json

from scalebio import journal
from scalebio.generation import encode
from scalebio.mtbench.engines import Engine
from scalebio.mtbench.questions import MT_BENCH
from scalebio.progress import Progress
from scalebio.streams import torch_seed

# fastchat/llm_judge/common.py, temperature_config; the four other categories are greedy.
TEMPERATURES = {"writing": 0.7, "roleplay": 0.7, "stem": 0.1, "humanities": 0.1}


def answer(
    engine: Engine,
    questions: list[dict],
    *,
    model_id: str,
    seed: int,
    max_new_tokens: int,
    batch: int,
    max_length: int,
    done: journal.Journal,
    made_under: str = "",
) -> list[dict]:
    """One row per question: FastChat's fields, and `shortened`: whether the prompt of a turn lost its middle.

    `max_new_tokens` is per turn; `max_length` bounds prompt and answer together, in tokens. Sampling depends on
    (seed, question, turn) alone. `answer_id` is a hash of the content and `tstamp` 0, so that the same run writes the
    same bytes. A batch of questions is kept in `done` once both its turns are answered; batches are settled before the
    first one starts, so a run that was interrupted ends with the bytes of one that was not. `made_under` names the
    model's content: answers of another model are not taken up.
    """
    settings = [made_under, engine.name, seed, max_new_tokens, batch, max_length]
    # Questions of like length together; the order does not depend on what is already done.
    order = sorted(range(len(questions)), key=lambda i: (-sum(map(len, questions[i]["turns"])), i))
    batches = [order[first : first + batch] for first in range(0, len(order), batch)]
    report, rows = Progress("questions"), {}
    for indices in batches:
        asked = [questions[i] for i in indices]
        name = journal.key(*settings, [[q["question_id"], q["turns"], _temperature(q)] for q in asked])
        if name not in done:
            done.add(name, _two_turns(engine, asked, seed, max_new_tokens, max_length))
        for i, (turns, shortened) in zip(indices, done[name], strict=True):
            content = json.dumps([model_id, questions[i]["question_id"], questions[i]["turns"], turns])
            rows[i] = {
                "question_id": questions[i]["question_id"],
                "answer_id": hashlib.sha256(content.encode()).hexdigest()[:22],
                "model_id": model_id,
                "choices": [{"index": 0, "turns": turns}],
                "tstamp": 0.0,
                "shortened": shortened,
            }
        report(len(rows), len(questions))
    return [rows[i] for i in range(len(questions))]


def _temperature(question: dict) -> float:
    return TEMPERATURES.get(question["category"], 0.0) if question["set"].startswith(MT_BENCH) else 0.0


def _two_turns(engine: Engine, asked: list[dict], seed: int, max_new_tokens: int, max_length: int) -> list:
    """[answers of both turns, whether each turn's prompt was shortened] of every question."""
    temperatures = [_temperature(question) for question in asked]
    conversations: list[list[dict]] = [[] for _ in asked]
    shortened: list[list[bool]] = [[] for _ in asked]
    for turn in (1, 2):
        for conversation, question in zip(conversations, asked, strict=True):
            conversation.append({"role": "user", "content": question["turns"][turn - 1]})
        cuts = encode(engine.tokenizer, conversations, max_length - max_new_tokens)[1]
        for flags, cut in zip(shortened, cuts, strict=True):
            flags.append(cut)
        seeds = [torch_seed(seed, "mtbench answers", question["question_id"], turn) for question in asked]
        texts = engine.generate(conversations, max_new_tokens, temperatures, seeds, max_length)
        for conversation, text in zip(conversations, texts, strict=True):
            conversation.append({"role": "assistant", "content": text})
    answers = [[message["content"] for message in talk if message["role"] == "assistant"] for talk in conversations]
    return [list(pair) for pair in zip(answers, shortened, strict=True)]
