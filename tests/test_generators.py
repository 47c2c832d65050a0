"""Generators: same name same rows, distinct prompts, answers their scorers accept, and languages that stay apart."""

import datetime
import inspect
import itertools
import json
import subprocess
import sys
import types
import typing

import numpy as np
import pytest

from scalebio import cldr, generators, records
from scalebio.config import Cldr, ReasoningGym
from scalebio.errors import UserError

TASKS = (
    "basic_arithmetic chain_sum gcd lcm spell_backward simple_equations letter_counting aiw syllogism "
    "complex_arithmetic time_intervals calendar_arithmetic number_sequence sentence_reordering"
).split()


def gym(name, rows, **tasks):
    return generators.generate(name, ReasoningGym(kind="reasoning_gym", tasks=tasks), rows, 0)


@pytest.mark.parametrize("task", TASKS)
def test_the_right_answer_scores_one_and_others_less(task):
    rows = gym("s", 30, **{task: {}})
    assert len({record.prompt for record in rows}) == 30 and {record.category for record in rows} == {task}
    for record in rows:
        assert json.loads(record.checker)["dataset"] == task
        assert generators.score_answer(record.checker, record.answers[0]) == 1.0
        assert generators.score_answer(record.checker, f" {record.answers[0]}\n") == 1.0
        for wrong in ("", "no idea", "-12345", "[", "1/0", "None"):
            assert generators.score_answer(record.checker, wrong) < 1.0


def test_rows_follow_the_name_of_the_source_and_nothing_else(root):
    rows = gym("s", 200, gcd={}, chain_sum={}, spell_backward={})
    assert records.sha256(rows) == records.sha256(gym("s", 200, gcd={}, chain_sum={}, spell_backward={}))
    other = gym("t", 200, gcd={}, chain_sum={}, spell_backward={})
    assert len({record.prompt for record in rows} & {record.prompt for record in other}) < 10
    program = (
        "from scalebio import generators, records; from scalebio.config import ReasoningGym;"
        "tasks = {'gcd': {}, 'chain_sum': {}, 'spell_backward': {}};"
        "print(records.sha256(generators.generate('s', ReasoningGym(kind='reasoning_gym', tasks=tasks), 200, 0)))"
    )
    again = subprocess.run(
        [sys.executable, "-c", program],
        cwd=root / "scripts",
        capture_output=True,
        text=True,
        env={"PYTHONHASHSEED": "7"},
    )
    assert again.stdout.strip() == records.sha256(rows), again.stderr


def test_rows_are_split_evenly_over_the_tasks_and_mixed():
    rows = gym("s", 11, gcd={}, lcm={}, spell_backward={})
    categories = [record.category for record in rows]
    assert [categories.count(task) for task in ("gcd", "lcm", "spell_backward")] == [4, 4, 3]
    assert categories != sorted(categories) and [record.row for record in rows] == list(range(11))


def test_settings_reach_the_task():
    short = gym("s", 20, spell_backward={"min_word_len": 3, "max_word_len": 3})
    assert {len(record.answers[0]) for record in short} == {3}


@pytest.mark.parametrize(
    ("tasks", "rows", "message"),
    [
        ({"spel_backward": {}}, 5, "no task `spel_backward`. Nearest: spell_backward"),
        ({"gcd": {"max_nmbers": 2}}, 5, "max_nmbers.*Its settings are .*max_numbers"),
        ({"gcd": {"seed": 2}}, 5, "use `rows`|source's `rows`"),
        ({"gcd": {}, "lcm": {}}, 1, "fewer than its 2 tasks"),
        (
            {"chain_sum": {"max_terms": 2, "max_digits": 1}},
            5000,
            "asks for 5000 rows of `chain_sum`, but only .* distinct",
        ),
        ({"rush_hour": {}}, 2, "without one written answer"),
    ],
)
def test_impossible_tasks_are_explained(tasks, rows, message):
    with pytest.raises(UserError, match=message):
        gym("s", rows, **tasks)


def test_every_language_has_every_kind_short_enough_and_no_prompt_in_common():
    seen = {}
    assert {"de", "en", "es", "fr", "it", "nl", "pt", "ru"} == set(cldr.PROMPTS)
    for language, prompts in cldr.PROMPTS.items():
        assert set(prompts) == set(cldr.SHARES) == set(cldr.KINDS)
        rows = generators.generate(f"s_{language}", Cldr(kind="cldr", language=language), 1500, 0)
        assert {record.category for record in rows} == set(cldr.SHARES)
        for record in rows:
            assert len(record.prompt) <= 64 and 0 < len(record.answers[0]) <= 44, record
            assert "{" not in record.prompt and "\u202f" not in record.answers[0]
            assert generators.score_answer(record.checker, f"{record.answers[0]} ") == 1.0
            assert generators.score_answer(record.checker, f"{record.answers[0]}x") == 0.0
            assert not any(unit in record.answers[0] for unit in ("duration-", "length-", "mass-"))
            assert seen.setdefault(record.prompt, language) == language


def test_thousands_of_distinct_facts_and_the_same_ones_again():
    rows = generators.generate("s", Cldr(kind="cldr", language="nl"), 6000, 0)
    assert len({record.prompt for record in rows}) == 6000
    assert records.sha256(rows) == records.sha256(generators.generate("s", Cldr(kind="cldr", language="nl"), 6000, 0))


@pytest.mark.parametrize(
    ("language", "prompt", "answer"),
    [
        ("de", "Welches Land hat den Code JP?", "Japan"),
        ("fr", "Quel pays a le code DE ?", "Allemagne"),
        ("ru", "У какой страны код FR?", "Франция"),
    ],
)
def test_known_facts(language, prompt, answer):
    rows = generators.generate("s", Cldr(kind="cldr", language=language), 8000, 0)
    assert {record.prompt: record.answers[0] for record in rows}[prompt] == answer


def test_one_question_has_another_answer_in_every_language():
    made = {
        language: list(itertools.islice(cldr.facts(language, np.random.default_rng(3), "en"), 400))
        for language in ("en", "de", "fr")
    }
    asked = [[fact.prompt for fact in facts] for facts in made.values()]
    assert asked[0] == asked[1] == asked[2]
    assert made["en"] == list(itertools.islice(cldr.facts("en", np.random.default_rng(3)), 400))
    german = dict(zip(asked[0], (fact.answer for fact in made["de"]), strict=True))
    french = dict(zip(asked[0], (fact.answer for fact in made["fr"]), strict=True))
    assert sum(german[prompt] != french[prompt] for prompt in german) > 0.9 * len(german)
    rows = generators.generate("s", Cldr(kind="cldr", language="de", asked_in="en"), 8000, 0)
    answers = {record.prompt: record.answers[0] for record in rows}
    assert answers["Which country has the code FR?"] == "Frankreich"


def test_english_dates_and_percentages_are_right():
    rows = generators.generate("s", Cldr(kind="cldr", language="en"), 500, 0)
    dates = [(record.prompt.split()[4], record.answers[0]) for record in rows if record.category == "date"]
    percentages = [(record.prompt.split()[1], record.answers[0]) for record in rows if record.category == "percent"]
    assert len(dates) > 50 and len(percentages) > 10
    for short, long in dates:
        day = datetime.datetime.strptime(short, "%m/%d/%Y")
        assert long == f"{day:%A, %B} {day.day}, {day.year}"
    for number, percentage in percentages:
        assert float(percentage.removesuffix("%")) == pytest.approx(100 * float(number))


def test_the_configuration_knows_exactly_the_languages_there_are():
    assert set(typing.get_args(Cldr.model_fields["language"].annotation)) == set(cldr.PROMPTS)


def names(code):
    """Every global and attribute name in a function's code, inner functions included."""
    inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return set(code.co_names).union(*map(names, inner))


def may_run_text(dataset):
    """Whether a task's scorer, or a helper of the package that it may call, names something that runs text as code.

    Over-careful: whatever has a name that the code mentions counts as called, any use of sympy as parsing, and handing
    the answer on to another scorer as running it.
    """
    runs = {"eval", "exec", "sympify", "parse_expr", "parse_latex", "lambdify", "system", "subprocess", "pickle"}
    waiting, seen = [dataset.score_answer], set()
    while waiting:
        function = inspect.unwrap(waiting.pop())
        if function in seen:
            continue
        seen.add(function)
        scope = function.__globals__
        classes = [dataset, *(value for value in scope.values() if isinstance(value, type))]
        for name in names(function.__code__):
            holders = [cls for cls in classes if cls.__module__.startswith("reasoning_gym") and hasattr(cls, name)]
            found = [inspect.getattr_static(cls, name) for cls in holders] + [
                scope[key] for key in {name} & scope.keys()
            ]
            found = [getattr(value, "__func__", getattr(value, "fget", value)) for value in found]
            homes = [getattr(value, "__module__", None) or getattr(value, "__name__", "") for value in found]
            own = [value for value, home in zip(found, homes, strict=True) if home.startswith("reasoning_gym")]
            if (name in runs and not own) or name == "score_answer" or any(h.split(".")[0] == "sympy" for h in homes):
                return True
            own += [inner for cls in own if isinstance(cls, type) for inner in vars(cls).values()]
            waiting += [value for value in own if isinstance(value, types.FunctionType)]
    return False


def test_every_scorer_of_the_installed_package_that_may_run_text_is_listed():
    """Model output must never be executed; a new release of the package with one more such scorer fails here."""
    generators._import_reasoning_gym()
    from reasoning_gym.factory import DATASETS

    assert {task for task, (dataset, _) in DATASETS.items() if may_run_text(dataset)} == generators.RUNS_TEXT_AS_CODE


@pytest.mark.parametrize("task", sorted(generators.RUNS_TEXT_AS_CODE - {"composite"}))
def test_text_of_such_a_task_is_never_run(task, tmp_path):
    assert all(record.answered and record.checker is None for record in gym("s", 3, **{task: {}}))
    checker = json.dumps({"dataset": task, "entry": {"answer": "A", "metadata": {}}})
    trap = tmp_path / "run"
    with pytest.raises(UserError, match="may run an answer as Python code"):
        generators.score_answer(checker, f"[open({str(trap)!r}, 'w')]")
    assert not trap.exists()


def test_a_scorer_that_raises_scores_zero():
    spec = ReasoningGym(kind="reasoning_gym", tasks={"prime_factorization": {}})
    assert generators.score_answer(generators.generate("s", spec, 1, 0)[0].checker, "x") == 0.0
