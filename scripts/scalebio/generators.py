"""Sources made here from seeds: reasoning-gym tasks with verifiable answers, and everyday facts in many languages.

Rows of one source have distinct prompts. Two sources with the same settings get different random streams, because
streams are keyed by the source's name; from a small task space they may still share a prompt, which the pool's
leakage check counts.
"""

import dataclasses
import datetime
import difflib
import enum
import functools
import importlib.util
import json
import sys
import time
import types
from collections.abc import Callable, Iterator

import numpy as np

from scalebio.config import Cldr, ReasoningGym
from scalebio.errors import UserError
from scalebio.records import Record
from scalebio.streams import stream

TRIES_PER_ROW = 20
SPARE_TRIES = 1000
EXACT_MATCH = "exact match"

RUNS_TEXT_AS_CODE = frozenset(
    """
    binary_matrix bitwise_arithmetic composite countdown intermediate_integration n_queens number_sorting
    polynomial_multiplication puzzle24 simple_integration spiral_matrix string_insertion
    """.split()
)
"""Tasks whose scorer may run text as Python: by `eval`, by sympy's parser, which calls it, or (`composite`) by handing
the text to any other scorer. What a model writes must never be executed, so their rows have no checker; they can still
be trained on. A test searches the installed package for further ones."""


def generate(name: str, spec: ReasoningGym | Cldr, rows: int, seed: int) -> list[Record]:
    """`rows` records with distinct prompts for the source `name`.

    Raises UserError for an unknown task or setting, or when there are too few distinct prompts.
    """
    if isinstance(spec, Cldr):
        return _cldr(name, spec, rows, seed)
    return _reasoning_gym(name, spec.tasks, rows, seed)


def _distinct(name: str, what: str, wanted: int, make: Iterator[tuple[str, object]]) -> list[object]:
    """The first `wanted` items with distinct prompts from (prompt, item) pairs; UserError if they run out."""
    found, tries, started = {}, TRIES_PER_ROW * wanted + SPARE_TRIES, time.monotonic()
    for prompt, item in make:
        if len(found) == wanted or not tries:
            break
        tries -= 1
        found.setdefault(prompt, item)
        if time.monotonic() - started > 10:
            print(f"source {name}: {len(found)} of {wanted} rows of {what}", flush=True)
            started = time.monotonic()
    if len(found) < wanted:
        raise UserError(
            f"source `{name}`: asks for {wanted} rows of {what}, but only {len(found)} distinct prompts were found. "
            "Ask for fewer rows, or widen its settings."
        )
    return list(found.values())


# --- reasoning-gym ------------------------------------------------------------------------------------------------


def _reasoning_gym(name: str, tasks: dict[str, dict], rows: int, seed: int) -> list[Record]:
    """Rows split evenly over the tasks (earlier ones get the remainder), then shuffled."""
    if rows < len(tasks):
        raise UserError(f"source `{name}`: rows = {rows} is fewer than its {len(tasks)} tasks.")
    entries = []
    for place, (task, settings) in enumerate(tasks.items()):
        wanted = rows // len(tasks) + (place < rows % len(tasks))
        entries += [(task, entry) for entry in _entries(name, task, settings, wanted, seed)]
    order = stream(seed, "generator", name).permutation(len(entries))
    records = []
    for row, (task, entry) in enumerate(entries[i] for i in order):
        messages = [{"role": "user", "content": entry["question"]}, {"role": "assistant", "content": entry["answer"]}]
        records.append(Record(messages, name, row, task, _checker(task, entry)))
    return records


def _entries(name: str, task: str, settings: dict, wanted: int, seed: int) -> list[dict]:
    """`wanted` reasoning-gym entries {question, answer, metadata} with distinct questions."""
    _import_reasoning_gym()
    from reasoning_gym.factory import DATASETS

    if task not in DATASETS:
        near = difflib.get_close_matches(task, DATASETS, 3) or sorted(DATASETS)[:5]
        raise UserError(f"source `{name}`: reasoning-gym has no task `{task}`. Nearest: {', '.join(near)}.")
    if fixed := {"seed", "size"} & settings.keys():
        raise UserError(
            f"source `{name}`, task `{task}`: {', '.join(sorted(fixed))} is set here; use the source's `rows`."
        )
    # An entry is made from (seed + index), so two nearby seeds would share entries: hence 31 random bits.
    first = int(stream(seed, "generator", name, task).integers(2**31))
    size = TRIES_PER_ROW * wanted + SPARE_TRIES
    try:
        dataset = _import_reasoning_gym().create_dataset(task, seed=first, size=size, **settings)
    except (TypeError, ValueError, AssertionError) as error:
        known = [field.name for field in dataclasses.fields(DATASETS[task][1]) if field.name not in ("seed", "size")]
        raise UserError(f"source `{name}`, task `{task}`: {error}. Its settings are {', '.join(known)}.") from error
    found = _distinct(
        name, f"`{task}`", wanted, ((entry["question"], entry) for entry in map(dataset.__getitem__, range(size)))
    )
    if not all(isinstance(entry["answer"], str) and entry["answer"].strip() for entry in found):
        raise UserError(f"source `{name}`: task `{task}` has questions without one written answer; leave it out.")
    return found


def _checker(task: str, entry: dict) -> str | None:
    """JSON for `score_answer`; None if the task's scorer runs text as code or does not accept the entry's answer."""
    if task in RUNS_TEXT_AS_CODE:
        return None
    checker = json.dumps({"dataset": task, "entry": _plain(entry)}, ensure_ascii=False)
    return checker if score_answer(checker, entry["answer"]) == 1.0 else None


def _plain(value: object) -> object:
    """The same value in JSON's own types."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(item) for item in value), key=repr)
    if isinstance(value, enum.Enum):
        return _plain(value.value)
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)


@functools.cache
def _import_reasoning_gym() -> types.ModuleType:
    """The package, also where its dependency pycosat could not be compiled: only `zebra_puzzles` solves with it."""
    if importlib.util.find_spec("pycosat") is None:
        sys.modules["pycosat"] = types.ModuleType("pycosat")
    import reasoning_gym

    return reasoning_gym


@functools.cache
def _scorer(task: str) -> Callable[[str, dict], float]:
    return _import_reasoning_gym().get_score_answer_fn(task)


def score_answer(checker: str, text: str) -> float:
    """Score of the answer `text` between 0 and 1; `checker` as in `Record.checker`.

    Tasks are scored by reasoning-gym's own scorer, CLDR facts by equality with the one right answer. A scorer that
    raises has not understood the text, which then scores 0. Raises UserError for tasks in `RUNS_TEXT_AS_CODE`.
    """
    content = json.loads(checker)
    if content["dataset"] == EXACT_MATCH:
        return float(text.strip() == content["entry"]["answer"])
    if content["dataset"] in RUNS_TEXT_AS_CODE:
        raise UserError(
            f"the scorer of reasoning-gym's task `{content['dataset']}` may run an answer as Python code, so answers "
            "to it are not scored. Build its source and the pool again: the rows then have no checker."
        )
    scorer = _scorer(content["dataset"])
    try:
        return float(scorer(text.strip(), content["entry"]))
    except Exception:  # which types, differs from task to task: a scorer may trip over any text that it did not expect
        return 0.0


# --- CLDR ---------------------------------------------------------------------------------------------------------


def _cldr(name: str, spec: Cldr, rows: int, seed: int) -> list[Record]:
    from scalebio import cldr

    facts = cldr.facts(spec.language, stream(seed, "generator", name), spec.asked_in)
    found = _distinct(name, f"CLDR facts in `{spec.language}`", rows, ((fact.prompt, fact) for fact in facts))
    records = []
    for row, fact in enumerate(found):
        messages = [{"role": "user", "content": fact.prompt}, {"role": "assistant", "content": fact.answer}]
        checker = json.dumps({"dataset": EXACT_MATCH, "entry": {"answer": fact.answer}}, ensure_ascii=False)
        records.append(Record(messages, name, row, fact.template, checker))
    return records
