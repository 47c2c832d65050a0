"""Greedy answers of a tiny model to questions made for the tests."""

import pytest

from scalebio import base_models, records
from scalebio.config import Scratch
from scalebio.config_evaluations import Math
from scalebio.generation import generate
from scalebio.journal import Journal
from scalebio.maths import answering, benchmarks
from scalebio.mtbench.engines import Transformers

PROMPT = Math.model_fields["prompt"].default


@pytest.fixture(scope="module")
def tiny():
    shape = Scratch(hidden_size=32, intermediate_size=64, layers=2, heads=2, vocabulary=300)
    return base_models.from_scratch(shape, ["1 + 2? It is 3", "Hello? And now?"], max_length=256, seed=0)


@pytest.fixture(scope="module")
def questions(root):
    return benchmarks.questions("math", records.raw_rows(root / "tests/maths/math.jsonl", "x"), "x")


class Recording(Transformers):
    """Remembers the conversations it was given, and breaks down after `calls`."""

    def __init__(self, model, tokenizer, calls=None):
        super().__init__(model, tokenizer)
        self.seen, self.calls = [], calls

    def generate(self, conversations, *settings):
        if len(self.seen) == self.calls:
            raise KeyboardInterrupt
        self.seen.append(conversations)
        return super().generate(conversations, *settings)


def ask(engine, questions, path, **settings):
    defaults = {"prompt": PROMPT, "max_new_tokens": 6, "batch": 2, "max_length": 256}
    with Journal(path) as done:
        return answering.answer(engine, questions, **{**defaults, **settings}, done=done)


def test_answers_are_those_of_greedy_generation_of_the_authors_prompt(tiny, questions, tmp_path):
    engine = Recording(*tiny)
    rows = ask(engine, questions, tmp_path / "j", batch=1)
    said = {talk[0]["content"] for (talk,) in engine.seen}
    asks = "\nPlease reason step by step, and put your final answer within \\boxed{}."
    assert said == {question["question"] + asks for question in questions}
    talks = [[{"role": "user", "content": question["question"] + asks}] for question in questions]
    expected = generate(*tiny, talks, max_new_tokens=6, batch_size=1, max_length=256)
    assert [row["answer"] for row in rows] == expected
    assert [(row["benchmark"], row["id"], row["shortened"]) for row in rows] == [("math", i, False) for i in range(4)]


def test_braces_in_a_question_stay(tiny, tmp_path):
    engine = Recording(*tiny)
    ask(engine, [{"benchmark": "math", "id": 0, "question": "{question} {x}"}], tmp_path / "j", prompt="Q: {question}")
    assert engine.seen[0][0][0]["content"] == "Q: {question} {x}"


def test_an_interrupted_run_ends_as_one_that_was_not_and_answers_nothing_twice(tiny, questions, tmp_path):
    whole = ask(Recording(*tiny), questions, tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        ask(Recording(*tiny, calls=1), questions, tmp_path / "b")
    rest, again = Recording(*tiny), Recording(*tiny)
    assert ask(rest, questions, tmp_path / "b") == whole and len(rest.seen) == 1
    assert ask(again, questions, tmp_path / "b") == whole and not again.seen
    for change in ({"made_under": "another model"}, {"max_new_tokens": 5}, {"prompt": "{question}"}):
        changed = Recording(*tiny)
        ask(changed, questions, tmp_path / "b", **change)
        assert len(changed.seen) == 2, change


def test_a_shortened_prompt_is_flagged(tiny, questions, tmp_path):
    long = {**questions[0], "question": "one and " * 80}
    rows = ask(Recording(*tiny), [long, questions[1]], tmp_path / "j")
    assert [row["shortened"] for row in rows] == [True, False]
