"""Ratings of answers by a judge behind an OpenAI-compatible endpoint, one call per question and turn.

Calls go through inspect-ai's model interface, which brings concurrency, retries with back-off and providers' quirks. A
whole inspect evaluation is not started: it took 3 s longer for the same 160 calls (7.4 against 4.7 s, on one core), and
FastChat's judgment rows are the record that we keep. A text without a readable rating is asked for again twice; after
that its score is -1, as in FastChat, and it is counted, never averaged.
"""

import asyncio
import os
import sys
from typing import NamedTuple

from inspect_ai.model import ChatMessageSystem, ChatMessageUser, GenerateConfig, get_model

from scalebio.errors import UserError
from scalebio.mtbench import prompts
from scalebio.mtbench.parsing import FAILED, robust, strict
from scalebio.mtbench.prompts import Prompt
from scalebio.progress import Progress

KEY_VARIABLE = "JUDGE_API_KEY"
MAX_TOKENS = 2048  # FastChat's limit for OpenAI judges
ATTEMPTS = 3


class Endpoint(NamedTuple):
    """Where the judge is and how it is called in the results. `key` goes into requests and nowhere else."""

    model: str
    base_url: str
    key: str


def endpoint_from_environment(model: str, base_url: str) -> Endpoint:
    """The endpoint with the key from JUDGE_API_KEY; without one, a dummy, as local servers ask for none."""
    return Endpoint(model, base_url, os.environ.get(KEY_VARIABLE) or "no-key")


def judge(
    questions: list[dict],
    answers: list[dict],
    templates: dict[str, dict],
    prompts_sha256: str,
    endpoint: Endpoint,
    *,
    connections: int = 16,
    retries: int = 6,
) -> list[dict]:
    """Judgment rows in FastChat's fields, ordered by question and turn.

    `questions` and `answers` as written by `questions` and `answering`; `templates` and their hash from `prompts.read`;
    `connections`: calls in flight at most; `retries`: of one call after a transient failure (busy, dropped, timed out).
    Beyond FastChat's fields a row has `category`, `questions` (which set), `score_strict` (FastChat's own reading),
    `attempts` and `prompts_sha256`. Raises UserError if an answer is missing or the endpoint cannot be used.
    """
    given = {row["question_id"]: row for row in answers}
    missing = [question["question_id"] for question in questions if question["question_id"] not in given]
    if missing:
        raise UserError(f"No answer to question {', '.join(map(str, missing))}. Generate the answers anew.")
    tasks = []
    for question in sorted(questions, key=lambda question: question["question_id"]):
        answer = given[question["question_id"]]
        for turn in (1, 2):
            prompt = prompts.build(templates, question, answer["choices"][0]["turns"], turn)
            tasks.append((question, answer, turn, prompt))
    texts = asyncio.run(_ask_all([task[-1] for task in tasks], endpoint, connections, retries))
    rows = []
    for (question, answer, turn, prompt), (text, attempts) in zip(tasks, texts, strict=True):
        rows.append(
            {
                "question_id": question["question_id"],
                "model": answer["model_id"],
                "judge": [endpoint.model, prompt.name],
                "user_prompt": prompt.user,
                "judgment": text,
                "score": robust(text),
                "turn": turn,
                "tstamp": 0.0,
                "category": question["category"],
                "questions": question["set"],
                "score_strict": strict(text),
                "attempts": attempts,
                "prompts_sha256": prompts_sha256,
            }
        )
    failed = sum(row["score"] == FAILED for row in rows)
    print(f"{len(rows)} judgments by {endpoint.model}, {failed} without a readable rating", file=sys.stderr)
    return rows


async def _ask_all(asked: list[Prompt], endpoint: Endpoint, connections: int, retries: int) -> list[tuple[str, int]]:
    """The judge's text for each prompt, and how many times it was asked."""
    config = GenerateConfig(
        temperature=0.0,
        max_tokens=MAX_TOKENS,
        max_connections=connections,
        max_retries=retries,
        attempt_timeout=300,
    )
    model = get_model(
        f"openai-api/judge/{endpoint.model}",
        base_url=endpoint.base_url,
        api_key=endpoint.key,
        config=config,
        memoize=False,
    )
    report = Progress("judgments")
    done = 0

    async def ask(prompt: Prompt) -> tuple[str, int]:
        nonlocal done
        messages = [ChatMessageSystem(content=prompt.system), ChatMessageUser(content=prompt.user)]
        text, attempts = "", 0
        while attempts < ATTEMPTS and robust(text) == FAILED:
            text = (await model.generate(messages)).completion
            attempts += 1
        done += 1
        report(done, len(asked))
        return text, attempts

    async with model:
        try:
            return await asyncio.gather(*map(ask, asked))
        except Exception as error:  # whatever client, transport or server raise: the way out is the same
            reason = f"{type(error).__name__}: {error}".replace(endpoint.key, "***")
            raise UserError(
                f"The judge {endpoint.model} at {endpoint.base_url} failed after {done} of {len(asked)} "
                f"judgments: {reason} Check `judge.base_url` and `judge.model`, and that {KEY_VARIABLE} holds "
                "a valid key if one is needed."
            ) from None  # the original may quote the request, and with it the key
