"""Two-turn answers of a tiny model in FastChat's rows."""

import itertools

import pytest

from scalebio import base_models
from scalebio.config import Scratch
from scalebio.journal import Journal
from scalebio.mtbench import answering
from scalebio.mtbench.engines import Transformers
from scalebio.mtbench.questions import MT_BENCH


@pytest.fixture(scope="module")
def tiny():
    shape = Scratch(hidden_size=32, intermediate_size=64, layers=2, heads=2, vocabulary=300)
    return base_models.from_scratch(shape, ["1 + 2? It is 3", "Hello? And now?"], max_length=256, seed=0)


@pytest.fixture
def run(tiny, tmp_path):
    """Answers by the tiny model; each call has a journal of its own unless one is given."""
    calls = itertools.count()

    def answers(questions, engine=None, journal=None, **settings):
        defaults = {"model_id": "m", "seed": 0, "max_new_tokens": 8, "batch": 4, "max_length": 256}
        with Journal(journal or tmp_path / f"{next(calls)}.journal") as done:
            return answering.answer(engine or Transformers(*tiny), questions, **{**defaults, **settings}, done=done)

    return answers


def test_rows_have_fastchats_fields_and_repeat_bit_for_bit(run, questions):
    rows = run(questions)
    assert [row["question_id"] for row in rows] == [1, 2, 3]
    for row in rows:
        assert set(row) == {"question_id", "answer_id", "model_id", "choices", "tstamp", "shortened"}
        assert row["choices"][0]["index"] == 0 and len(row["choices"][0]["turns"]) == 2
        assert row["shortened"] == [False, False]
    assert len({row["answer_id"] for row in rows}) == 3
    assert rows == run(questions)


class Recording(Transformers):
    """Remembers the conversations it was given, and breaks down after `calls`."""

    def __init__(self, model, tokenizer, calls=None):
        super().__init__(model, tokenizer)
        self.seen, self.calls = [], calls

    def generate(self, conversations, *settings):
        if len(self.seen) == self.calls:
            raise KeyboardInterrupt
        self.seen.append([[dict(message) for message in conversation] for conversation in conversations])
        return super().generate(conversations, *settings)


def test_an_interrupted_run_ends_as_one_that_was_not_and_answers_nothing_twice(tiny, run, questions, tmp_path):
    whole, journal = run(questions, batch=1), tmp_path / "kept.journal"
    with pytest.raises(KeyboardInterrupt):
        run(questions, Recording(*tiny, calls=3), journal, batch=1)
    rest = Recording(*tiny)
    assert run(questions, rest, journal, batch=1) == whole
    assert len(rest.seen) == 4  # of three questions with two turns, one was complete
    again = Recording(*tiny)
    assert run(questions, again, journal, batch=1, model_id="other")[0]["model_id"] == "other" and not again.seen
    for change in ({"made_under": "another model"}, {"seed": 1}, {"max_new_tokens": 7}):
        changed = Recording(*tiny)
        run(questions, changed, journal, batch=1, **change)
        assert len(changed.seen) == 6, change


def test_the_second_turn_sees_the_first(tiny, run, questions):
    engine = Recording(*tiny)
    seen, rows = engine.seen, run(questions[:1], engine)
    assert [message["role"] for message in seen[1][0]] == ["user", "assistant", "user"]
    assert seen[1][0][1]["content"] == rows[0]["choices"][0]["turns"][0]
    assert [seen[1][0][0]["content"], seen[1][0][2]["content"]] == questions[0]["turns"]


def test_mt_bench_samples_by_category_and_own_questions_are_greedy(run, questions):
    own = [{**questions[2], "category": category} for category in ("writing", "math")]
    real = [{**question, "set": MT_BENCH} for question in own]

    def turns(asked, seed):
        return [row["choices"][0]["turns"] for row in run(asked, seed=seed)]

    assert turns(own, 0) == turns(own, 1)
    assert turns(real, 0)[0] != turns(real, 1)[0]
    assert turns(real, 0)[1] == turns(real, 1)[1] == turns(own, 0)[1]


def test_a_shortened_prompt_is_flagged(run, questions):
    questions[0]["turns"] = ["short", "long " * 200]
    assert run(questions[:1])[0]["shortened"] == [False, True]
