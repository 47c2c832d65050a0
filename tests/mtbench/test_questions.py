"""The real 80 questions from the wheel, and questions made from test rows."""

import hashlib
from collections import Counter

import pytest

from scalebio.errors import UserError
from scalebio.files import read_jsonl, write_jsonl
from scalebio.mtbench import questions
from scalebio.records import Record

REFERENCES = "reference_answer/gpt-4.jsonl"


def record(row, category="sum", prompt=None, source="arithmetic"):
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": prompt or f"{category} {row}?"},
        {"role": "assistant", "content": f"answer {category} {row}"},
    ]
    return Record(messages, source, row, category)


def test_the_real_80(mt_bench_file):
    asked = questions.mt_bench(mt_bench_file("question.jsonl"), mt_bench_file(REFERENCES), "gpt-4")
    assert [q["question_id"] for q in asked] == list(range(81, 161))
    assert set(Counter(q["category"] for q in asked).values()) == {10}
    with_reference = {q["category"] for q in asked if "reference" in q}
    assert with_reference == {"math", "reasoning", "coding"}
    assert sum("reference" in q for q in asked) == 30
    assert all(len(q["turns"]) == 2 and q["set"] == questions.MT_BENCH for q in asked)
    # The judge's reference, not the annotators' note "Area is 3" in the question file.
    assert asked[30]["reference"][0].startswith("To find the area of the triangle")


def test_other_references_are_part_of_the_set_s_name(mt_bench_file):
    files = mt_bench_file("question.jsonl"), mt_bench_file(REFERENCES)
    assert questions.mt_bench(*files, "gpt-4-0125-preview")[0]["set"] == "MT-Bench 80, gpt-4-0125-preview references"


@pytest.mark.parametrize("name", ["question.jsonl", "judge_prompts.jsonl", "reference_answer/gpt-4.jsonl"])
def test_wheel_and_fastchat_hold_the_same_bytes(mt_bench_file, shared_data, name):
    ours = hashlib.sha256(mt_bench_file(name).read_bytes()).hexdigest()
    theirs = hashlib.sha256((shared_data / "mt_bench" / name.replace("/", "_")).read_bytes()).hexdigest()
    assert ours == theirs


def test_another_question_file_is_refused(mt_bench_file, tmp_path):
    some = tmp_path / "question.jsonl"
    write_jsonl(some, read_jsonl(mt_bench_file("question.jsonl"))[:79])
    with pytest.raises(UserError, match="expected the 80 MT-Bench questions.*found 79"):
        questions.mt_bench(some, mt_bench_file(REFERENCES), "gpt-4")


def test_questions_from_test_rows(capsys):
    rows = [record(i) for i in range(8)] + [record(i, "sort") for i in range(5)]
    asked = questions.from_records(rows, per_category=3, seed=1)
    assert [q["question_id"] for q in asked] == [1, 2, 3, 4, 5]
    assert Counter(q["category"] for q in asked) == {"sort": 2, "sum": 3}
    assert "category 'sort': 5 test rows make 2 of 3 questions" in capsys.readouterr().err
    used = [turn for q in asked for turn in q["turns"]]
    assert len(set(used)) == len(used) == 10
    for q in asked:
        assert q["set"] == questions.OWN
        for turn, reference in zip(q["turns"], q["reference"], strict=True):
            assert turn.startswith(q["category"])
            assert reference == "answer " + turn.rstrip("?")
    assert asked == questions.from_records(rows, per_category=3, seed=1)
    assert asked != questions.from_records(rows, per_category=3, seed=2)


def test_the_source_stands_in_for_a_missing_category():
    asked = questions.from_records([record(i, None, f"q{i}", "de") for i in range(2)], 1, 0)
    assert asked[0]["category"] == "de"


def test_too_few_rows_and_rows_without_a_question():
    with pytest.raises(UserError, match="Category 'sort' has 1 test row"):
        questions.from_records([record(0), record(1), record(0, "sort")], 1, 0)
    with pytest.raises(UserError, match="No test rows"):
        questions.from_records([], 1, 0)
    text = Record([{"role": "assistant", "content": "plain text"}], "wiki", 7)
    with pytest.raises(UserError, match="source `wiki`, row 8, has no user message"):
        questions.from_records([text, text], 1, 0)


def test_a_question_file_of_another_kind_is_named(tmp_path):
    write_jsonl(tmp_path / "q.jsonl", [{"question_id": 1, "category": "a", "turns": ["x", "y"]}])
    with pytest.raises(UserError, match="q.jsonl: a question lacks set"):
        questions.read(tmp_path / "q.jsonl")
