"""Two-turn answers of a tiny model in FastChat's rows."""

import pytest

from scalebio import base_models
from scalebio.config import Scratch
from scalebio.mtbench import answering
from scalebio.mtbench.questions import MT_BENCH


@pytest.fixture(scope="module")
def tiny():
    shape = Scratch(hidden_size=32, intermediate_size=64, layers=2, heads=2, vocabulary=300)
    return base_models.from_scratch(shape, ["1 + 2? It is 3", "Hello? And now?"], max_length=256, seed=0)


def run(tiny, questions, **settings):
    defaults = {"model_id": "m", "seed": 0, "max_new_tokens": 8, "batch": 4, "max_length": 256}
    return answering.answer(*tiny, questions, **{**defaults, **settings})


def test_rows_have_fastchats_fields_and_repeat_bit_for_bit(tiny, questions):
    rows = run(tiny, questions)
    assert [row["question_id"] for row in rows] == [1, 2, 3]
    for row in rows:
        assert set(row) == {"question_id", "answer_id", "model_id", "choices", "tstamp", "shortened"}
        assert row["choices"][0]["index"] == 0 and len(row["choices"][0]["turns"]) == 2
        assert row["shortened"] == [False, False]
    assert len({row["answer_id"] for row in rows}) == 3
    assert rows == run(tiny, questions)


def test_the_second_turn_sees_the_first(tiny, questions, monkeypatch):
    seen = []
    real = answering.generate

    def recording(model, tokenizer, conversations, **settings):
        seen.append([[dict(message) for message in conversation] for conversation in conversations])
        return real(model, tokenizer, conversations, **settings)

    monkeypatch.setattr(answering, "generate", recording)
    rows = run(tiny, questions[:1])
    assert [message["role"] for message in seen[1][0]] == ["user", "assistant", "user"]
    assert seen[1][0][1]["content"] == rows[0]["choices"][0]["turns"][0]
    assert [seen[1][0][0]["content"], seen[1][0][2]["content"]] == questions[0]["turns"]


def test_mt_bench_samples_by_category_and_own_questions_are_greedy(tiny, questions):
    own = [{**questions[2], "category": category} for category in ("writing", "math")]
    real = [{**question, "set": MT_BENCH} for question in own]

    def turns(asked, seed):
        return [row["choices"][0]["turns"] for row in run(tiny, asked, seed=seed)]

    assert turns(own, 0) == turns(own, 1)
    assert turns(real, 0)[0] != turns(real, 1)[0]
    assert turns(real, 0)[1] == turns(real, 1)[1] == turns(own, 0)[1]


def test_a_shortened_prompt_is_flagged(tiny, questions):
    questions[0]["turns"] = ["short", "long " * 200]
    assert run(tiny, questions[:1])[0]["shortened"] == [False, True]
