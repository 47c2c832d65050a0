"""How long judging takes against the ideal, with a judge that always needs the same time.

The judge is a process of its own on loopback; what it replies is fixed, so that nothing but the calls is measured. Ideal is
every connection always in use. The clock runs from the first request until the last row is there; what comes before it
(imports, client) is the start-up, stated apart. Prompts and replies are as long as MT-Bench's usually are.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

LATENCY, CONNECTIONS = 0.2, 32
QUESTIONS, MODELS = 80, (1, 10)
ROUNDS = 3  # the least counts, because what disturbs a measurement only ever adds to it
COLUMNS = ["judgments", "seconds", "ideal_seconds", "ratio_to_ideal", "repeat_calls", "startup_seconds"]

_WORDS = "the answer names what was asked for and leaves out one point that would have helped the reader ".split()
REPLY = " ".join(_WORDS * 12) + "\n\nRating: [[7]]"


def serve() -> None:
    """Be the judge: print the base_url, then for every line on stdin [number of requests, when the first one came]."""
    from scalebio.mtbench import reference_judge

    # Made once, so that this process takes as little as possible of the cores that both run on.
    reply = reference_judge.Fault(body=json.dumps(reference_judge.completion("", REPLY)).encode())
    with reference_judge.serving(lambda prompt, earlier: reply, LATENCY) as server:
        print(server.base_url, flush=True)
        for _ in sys.stdin:
            print(json.dumps([server.requests.total(), server.opened]), flush=True)


@contextmanager
def served(command: list[str]) -> Iterator[tuple[str, Callable[[], tuple[int, float]]]]:
    """Run `command`, a process that calls `serve`; yields the base_url and a function that asks it for its numbers."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def ask() -> tuple[int, float]:
            process.stdin.write("\n")
            process.stdin.flush()
            return tuple(json.loads(process.stdout.readline()))

        try:
            yield process.stdout.readline().strip(), ask
        finally:
            process.stdin.close()


def measure(models: int, command: list[str]) -> dict:
    """One row of COLUMNS: all answers of so many models judged once, and again from the journal.

    `command` starts the judge. Both processes read the machine's one monotonic clock.
    """
    start = time.monotonic()
    from scalebio import loopback
    from scalebio.config_evaluations import Judge
    from scalebio.journal import Journal
    from scalebio.mtbench import judging
    from scalebio.mtbench.endpoints import Endpoint

    imported = time.monotonic() - start
    asked, answers, templates = _inputs(models)
    judge = Judge(kind="offline_reference", connections=CONNECTIONS)
    with tempfile.TemporaryDirectory() as folder, loopback.without_proxy(), served(command) as (base_url, numbers):
        judge_up = time.monotonic()
        endpoint = Endpoint("judge of fixed latency", base_url, started_here=True)
        with Journal(Path(folder) / "judgments.journal") as done:
            rows = judging.judge(asked, answers, templates, "", endpoint, judge, done)
            end = time.monotonic()
            calls, first = numbers()
            judging.judge(asked, answers, templates, "", endpoint, judge, done)
            again, _ = numbers()
    assert calls == len(rows) and all(row["score"] == 7 for row in rows)
    ideal = len(rows) / CONNECTIONS * LATENCY
    values = [len(rows), end - first, ideal, (end - first) / ideal, again - calls, first - judge_up + imported]
    return dict(zip(COLUMNS, values, strict=True))


def _inputs(models: int) -> tuple[list[dict], list[list[dict]], dict[str, dict]]:
    """Questions, answers and stand-ins for FastChat's templates, which would have to be downloaded."""
    long = " ".join(_WORDS * 15)
    questions = [
        {"question_id": i, "category": "all", "set": "bench", "turns": [f"{i}: {long[:200]}?", f"And {long[:200]}?"]}
        for i in range(QUESTIONS)
    ]
    answers = [
        [
            {
                "question_id": i,
                "model_id": f"m{model}",
                "choices": [{"turns": [f"{model} {i} {turn} {long}" for turn in (1, 2)]}],
            }
            for i in range(QUESTIONS)
        ]
        for model in range(models)
    ]
    slots = {
        "single-v1": "{question}\n{answer}",
        "single-v1-multi-turn": "{question_1}\n{answer_1}\n{question_2}\n{answer_2}",
    }
    templates = {
        name: {"system_prompt": "You are a helpful assistant.", "prompt_template": f"{long[:900]}\n{text}"}
        for name, text in slots.items()
    }
    return questions, answers, templates
