"""What is measured: test loss against the losses' own room, and accuracy by the tasks' own checkers."""

import copy
import json

import pytest

from scalebio import evaluation, finetuning
from scalebio.chat import encode_all
from scalebio.config_evaluations import Accuracy
from scalebio.errors import UserError
from scalebio.losses import mean_losses
from scalebio.records import Record
from scalebio.streams import stream

ASKED = Accuracy(rows=6, max_new_tokens=6, batch=4)


def record(row: int, question: str, answer: str, category: str | None = None, checked: bool = True) -> Record:
    """A row as the reasoning-gym generator makes them, scored by the real scorer of `basic_arithmetic`."""
    entry = {"question": question, "answer": answer, "metadata": {}}
    checker = json.dumps({"dataset": "basic_arithmetic", "entry": entry}) if checked else None
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return Record(messages, "sums", row, category, checker)


@pytest.fixture
def rows():
    return [record(i, f"Calculate {i} + {i}.", str(2 * i), "even" if i % 2 else "odd") for i in range(8)]


@pytest.fixture(scope="module")
def knows_seven(tiny):
    """A copy of the tiny model trained until it answers 7 to everything."""
    model = copy.deepcopy(tiny[0])
    taught = [
        record(i, f"Calculate {a} + {b}.", "7") for i, (a, b) in enumerate((a, b) for a in range(8) for b in range(8))
    ]
    recipe = finetuning.Recipe(steps=60, batch=16, learning_rate=1e-2, ramp=2)
    finetuning.train(model, encode_all(taught, tiny[1], 64), recipe, 64, stream(0, "order"))
    return model


def test_test_loss_is_the_mean_of_the_rows_own_losses(tiny, rows):
    model, tokenizer = tiny
    losses = mean_losses(model, encode_all(rows, tokenizer, 64), 64).tolist()
    measured = evaluation.test_loss(model, tokenizer, rows, 64)
    assert measured["n_test"] == 8
    assert measured["test_loss"] == pytest.approx(sum(losses) / 8, rel=1e-12)
    assert list(measured["test_loss_by_category"]) == ["odd", "even"]
    assert measured["test_loss_by_category"]["odd"] == pytest.approx(sum(losses[0::2]) / 4, rel=1e-12)


def test_rows_without_a_category_count_as_all():
    plain = [record(i, "Calculate 1 + 1.", "2") for i in range(3)]
    assert evaluation.by_category(plain, [1.0, 2.0, 6.0]) == {"all": 3.0}


def test_a_model_that_answers_rightly_scores_1(tiny, knows_seven):
    right = [record(i, f"Calculate {i} + {7 - i}.", "7", "seven") for i in range(6)]
    assert evaluation.accuracy(knows_seven, tiny[1], right, ASKED, 64) == {
        "accuracy": 1.0,
        "accuracy_n": 6,
        "accuracy_by_category": {"seven": 1.0},
    }


def test_the_same_answers_to_other_questions_score_0_and_categories_are_kept_apart(tiny, knows_seven):
    mixed = [record(0, "Calculate 3 + 4.", "7", "seven"), record(1, "Calculate 3 + 5.", "8", "eight")]
    measured = evaluation.accuracy(knows_seven, tiny[1], mixed, ASKED, 64)
    assert measured["accuracy"] == 0.5
    assert measured["accuracy_by_category"] == {"seven": 1.0, "eight": 0.0}


def test_part_marks_are_no_right_answer(tiny, knows_seven):
    """The real scorer gives a few marks to an answer that merely contains the right one."""
    from scalebio.generators import score_answer

    seventy = record(0, "Calculate 3 + 4.", "7")
    assert 0 < score_answer(seventy.checker, "It is 7 or so") < 1 == score_answer(seventy.checker, "7")
    wrong = record(0, "Calculate 70 + 1.", "71")
    assert evaluation.accuracy(knows_seven, tiny[1], [wrong], ASKED, 64)["accuracy"] == 0


def test_the_sample_is_the_same_for_every_model_and_skips_rows_without_a_checker(tiny, knows_seven, rows, monkeypatch):
    asked = []

    def remember(model, tokenizer, conversations, **options):
        asked.append([messages[-1]["content"] for messages in conversations])
        return ["?"] * len(conversations)

    monkeypatch.setattr(evaluation, "generate", remember)
    unchecked = [record(9, "Say something.", "something", checked=False)]
    for model in (tiny[0], knows_seven):
        assert evaluation.accuracy(model, tiny[1], rows + unchecked, ASKED, 64)["accuracy_n"] == 6
    assert asked[0] == asked[1] and len(set(asked[0])) == 6
    assert "Say something." not in asked[0]


def test_test_rows_without_any_checker_are_refused(tiny):
    with pytest.raises(UserError, match="no test row has a checker"):
        evaluation.accuracy(*tiny, [record(0, "Hello?", "Hi.", checked=False)], ASKED, 64)
