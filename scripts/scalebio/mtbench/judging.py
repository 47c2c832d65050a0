"""Ratings of all models of an experiment by one judge, one call per question, turn, model and repeat.

No inspect evaluation is started: FastChat's judgment rows are the record that we keep. A text without a readable rating
is asked for again twice; after that its score is -1, as in FastChat, and it is counted, never averaged. Two models that
gave the same answers get the same judgment: the judge would be sent the same prompt.
"""

import asyncio
import sys
from collections.abc import Callable
from typing import NamedTuple

from scalebio.config_evaluations import Judge
from scalebio.errors import UserError
from scalebio.journal import Journal
from scalebio.mtbench import endpoints, prompts
from scalebio.mtbench.asking import PATIENT, Judgment, NoCompletion, Patience, kept_under, settle
from scalebio.mtbench.endpoints import KEY_VARIABLE, Endpoint
from scalebio.mtbench.parsing import FAILED, robust, strict
from scalebio.mtbench.prompts import Prompt
from scalebio.mtbench.spending import Budget, LimitReached
from scalebio.progress import Progress

LONGEST_REASON = 300  # characters; a proxy's error may be a whole page


class Task(NamedTuple):
    """What becomes one row."""

    model: str
    question: dict
    turn: int
    repeat: int
    prompt: Prompt


def judge(
    questions: list[dict],
    answers_by_model: list[list[dict]],
    templates: dict[str, dict],
    prompts_sha256: str,
    endpoint: Endpoint,
    judge: Judge,
    done: Journal,
    patience: Patience = PATIENT,
) -> list[dict]:
    """Judgment rows in FastChat's fields, ordered by model (as given), repeat, question and turn.

    `questions` and lists of answers as written by `questions` and `answering`; `templates` and their hash from
    `prompts.read`; finished calls are kept in `done` and not made again. Beyond FastChat's fields a row has `category`,
    `questions` (which set), `score_strict` and `score_robust` (`judge.parse` says which one is `score`), `attempts`,
    `repeat` (from 1), `cut` (characters of answers left out), `prompts_sha256`, `judge_note`, `tokens_in` and
    `tokens_out` (of all attempts). Raises UserError if an answer is missing, the endpoint cannot be used, or
    `judge.cost_limit` would be passed.
    """
    tasks = _tasks(questions, answers_by_model, templates, judge)
    read = robust if judge.parse == "robust" else strict
    under = kept_under(endpoint, judge)
    same = {(task.prompt, task.repeat): Judgment(task.prompt, task.repeat, under, done) for task in tasks}
    judgments = [same[task.prompt, task.repeat] for task in tasks]
    budget = Budget(judge.price, judge.cost_limit)
    budget.spent = _spent_before(done, endpoint, budget)
    try:
        _ask(list(same.values()), read, endpoint, judge, budget, patience)
    except OSError:  # of the journal: what the transport raises comes wrapped
        raise
    except Exception as error:  # whatever client, transport or server raise: the way out is the same
        settled = sum(judgment.settled(read) for judgment in judgments)
        calls = sum(len(judgment.replies) for judgment in same.values())
        message = _failure(error, endpoint, judge, budget, f"{settled} of {len(tasks)} judgments")
        kept = f"{calls} finished calls are kept in {done.path}; the next run goes on from there."
        raise UserError(endpoint.without_key(f"{message} {kept}")) from None  # the original may quote the request
    about = {"prompts_sha256": prompts_sha256, "judge_note": endpoints.note(judge)}
    rows = [_row(*pair, endpoint, read, about) for pair in zip(tasks, judgments, strict=True)]
    print(_summary(rows, list(same.values()), endpoint, budget), file=sys.stderr)
    if about["judge_note"]:
        print(f"warning: {about['judge_note']}", file=sys.stderr)
    return rows


def _tasks(questions: list[dict], answers_by_model: list[list[dict]], templates: dict, judge: Judge) -> list[Task]:
    """In the order of the rows. Raises UserError where answers are missing or mixed up."""
    tasks, models = [], []
    for answers in answers_by_model:
        named = sorted({row["model_id"] for row in answers})
        if len(named) != 1 or named[0] in models:
            raise UserError(
                f"A list of answers of {', '.join(named) or 'no model'}: each model's answers are wanted once, by "
                "themselves. Generate the answers anew."
            )
        models += named
        given = {row["question_id"]: row["choices"][0]["turns"] for row in answers}
        missing = [question["question_id"] for question in questions if question["question_id"] not in given]
        if missing:
            raise UserError(
                f"No answer to question {', '.join(map(str, missing))} by {named[0]}. Generate the answers anew."
            )
        room = judge.context - judge.max_tokens
        asked = [
            (question, turn, prompts.fit(templates, question, given[question["question_id"]], turn, room))
            for question in sorted(questions, key=lambda question: question["question_id"])
            for turn in (1, 2)
        ]
        for repeat in range(1, judge.repeats + 1):
            tasks += [Task(named[0], question, turn, repeat, prompt) for question, turn, prompt in asked]
    return tasks


def _spent_before(done: Journal, endpoint: Endpoint, budget: Budget) -> float:
    """US dollars for the calls in the journal; this judge's own at today's price if they were made without one."""
    spent = 0.0
    for reply in done.entries.values():
        if reply["usd"] is not None:
            spent += reply["usd"]
        elif reply["judge"] == endpoint.model:
            spent += budget.cost(reply["tokens_in"], reply["tokens_out"]) or 0.0
    return spent


def _ask(
    judgments: list[Judgment],
    read: Callable[[str], float],
    endpoint: Endpoint,
    judge: Judge,
    budget: Budget,
    patience: Patience,
) -> None:
    """Settle those that the journal leaves open."""
    still_open = [judgment for judgment in judgments if not judgment.settled(read)]
    if not still_open:
        return
    progress, settled = Progress("judgments"), len(judgments) - len(still_open)

    def report() -> None:
        nonlocal settled
        settled += 1
        progress(settled, len(judgments))

    asyncio.run(settle(still_open, endpoint, judge, read, budget, patience, report))


def _row(task: Task, judgment: Judgment, endpoint: Endpoint, read: Callable[[str], float], about: dict) -> dict:
    return {
        "question_id": task.question["question_id"],
        "model": task.model,
        "judge": [endpoint.model, task.prompt.name],
        "user_prompt": task.prompt.user,
        "judgment": judgment.text,
        "score": read(judgment.text),
        "turn": task.turn,
        "tstamp": 0.0,
        "category": task.question["category"],
        "questions": task.question["set"],
        "score_strict": strict(judgment.text),
        "score_robust": robust(judgment.text),
        "attempts": len(judgment.replies),
        "repeat": task.repeat,
        "cut": task.prompt.cut,
        **about,
        "tokens_in": sum(reply["tokens_in"] for reply in judgment.replies),
        "tokens_out": sum(reply["tokens_out"] for reply in judgment.replies),
    }


def _summary(rows: list[dict], judgments: list[Judgment], endpoint: Endpoint, budget: Budget) -> str:
    replies = [reply for judgment in judgments for reply in judgment.replies]
    made = sum(judgment.made for judgment in judgments)
    parts = [
        f"{len(rows)} judgments by {endpoint.model}",
        f"{sum(row['score'] == FAILED for row in rows)} without a readable rating",
        f"{sum(row['cut'] > 0 for row in rows)} of answers cut to the judge's context",
        f"{made} calls made",
        f"{len(replies) - made} taken from the journal",
        f"{sum(reply['tokens_in'] for reply in replies):,} tokens read",
        f"{sum(reply['tokens_out'] for reply in replies):,} written",
        "no price given" if budget.price is None else f"USD {budget.spent:.4f} in all",
    ]
    return ", ".join(parts)


def _failure(error: Exception, endpoint: Endpoint, judge: Judge, budget: Budget, progress: str) -> str:
    """What happened, and what to do about it."""
    if isinstance(error, LimitReached):
        return (
            f"judge.cost_limit is USD {judge.cost_limit:g}: USD {budget.spent:.4f} are spent, earlier runs included, and "
            f"{error}. {progress} are done. Raise `cost_limit`, or lower `max_tokens`, `repeats` or the number of methods."
        )
    what = " ".join(str(error).split())
    kind = "" if isinstance(error, UserError | NoCompletion) else f"{type(error).__name__}: "
    return (
        f"The judge {endpoint.model} at {endpoint.base_url} failed after {progress}: {kind}{what[:LONGEST_REASON]} Check "
        f"`judge.base_url` and `judge.model`, and that {KEY_VARIABLE} holds a valid key if one is needed."
    )
