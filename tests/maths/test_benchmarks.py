"""Questions of both benchmarks in one form; the rows are made for the tests, in the formats of the real data sets."""

import json
import subprocess
import sys

import pytest

from scalebio import records
from scalebio.errors import UserError
from scalebio.files import read_json, read_jsonl
from scalebio.maths import benchmarks


@pytest.fixture
def rows(root):
    return lambda name: records.raw_rows(root / f"tests/maths/{name}.jsonl", "x")


def test_known_answers_stand_after_hashes_or_in_the_last_box(rows):
    gsm8k = benchmarks.questions("gsm8k", rows("gsm8k"), "x")
    assert [question["gold"] for question in gsm8k] == ["7", "30", "1,580", "7"]
    assert gsm8k[0] == {
        "benchmark": "gsm8k",
        "id": 0,
        "question": "Ann has 3 pears and buys 4 more. How many has she?",
    } | {
        "gold": "7",
        "subject": "",
        "level": "",
    }
    math = benchmarks.questions("math", rows("math"), "x")
    assert [question["gold"] for question in math] == [r"\frac{3}{2}", "-2,2", "32", "(x-1)(x+1)"]
    assert [(question["subject"], question["level"]) for question in math[:2]] == [
        ("Prealgebra", "1"),
        ("Algebra", "2"),
    ]


def test_the_fields_of_math_500_are_read_too():
    row = {
        "problem": "1+1?",
        "solution": r"\boxed{2}",
        "answer": "2",
        "subject": "Algebra",
        "level": 5,
        "unique_id": "u",
    }
    (question,) = benchmarks.questions("math", [("row 1", row)], "x")
    assert (question["subject"], question["level"], question["gold"]) == ("Algebra", "5", "2")


@pytest.mark.parametrize(
    ("benchmark", "row", "message"),
    [
        ("gsm8k", {"question": "1+1?"}, "file, line 3: no answer. gsm8k needs question, answer"),
        ("gsm8k", {"question": "1+1?", "answer": "2"}, "file, line 3: nothing after `####` in `answer`"),
        ("math", {"problem": "1?", "solution": "2", "level": 1}, r"file, line 3: no \\boxed\{\} in `solution`"),
        ("math", {"question": "1?", "answer": "#### 1"}, "no problem and no solution and no level"),
        ("math", ["1?"], "no problem and no solution"),
    ],
)
def test_a_row_that_does_not_fit_is_named(benchmark, row, message):
    with pytest.raises(UserError, match=message):
        benchmarks.questions(benchmark, [("line 3", row)], "file")
    with pytest.raises(UserError, match="there are no rows"):
        benchmarks.questions(benchmark, [], "file")


def test_a_limit_draws_the_same_questions_and_a_larger_one_keeps_them():
    found = [{"benchmark": "gsm8k", "id": number} for number in range(50)]
    few, more = benchmarks.drawn(found, 10), benchmarks.drawn(found, 20)
    assert few == benchmarks.drawn(found, 10) and len(few) == 10 and [q["id"] for q in few] != list(range(10))
    assert [q for q in more if q in few] == few and len(more) == 20
    assert benchmarks.drawn(found, None) == found == benchmarks.drawn(found, 99)


def fetch(root, tmp_path, **settings):
    command = [sys.executable, root / "scripts/fetch_math.py", "--settings", json.dumps(settings)]
    outputs = ["--output", tmp_path / "q.jsonl", "--manifest", tmp_path / "q.json"]
    return subprocess.run([*command, *outputs], capture_output=True, text=True, cwd=root)


def test_a_file_beside_the_study_stands_in_for_the_hub(root, tmp_path):
    origin = {"hub": {"id": "openai/gsm8k", "subset": "main", "revision": "unverified"}, "local": "gsm8k.jsonl"}
    done = fetch(root, tmp_path, benchmark="gsm8k", origin=origin, offline_data="tests/maths")
    assert done.returncode == 0, done.stderr
    assert len(read_jsonl(tmp_path / "q.jsonl")) == 4
    manifest = read_json(tmp_path / "q.json")
    assert manifest["questions"] == 4 and manifest["origin"] == {"kind": "file", "path": "gsm8k.jsonl"}
    assert list(manifest["provenance"]["inputs"]) == ["file"]


@pytest.mark.slow
def test_questions_in_the_hub_s_layout_are_loaded_by_the_hub_s_client(root, tmp_path, monkeypatch):
    """A data set with two subsets, of which the named one is read, in the split `test` by default."""
    repo = tmp_path / "repo"
    for subset, row in (("main", {"question": "1+1?", "answer": "#### 2"}), ("other", {"text": "no question"})):
        (repo / subset).mkdir(parents=True)
        (repo / subset / "test.jsonl").write_text(json.dumps(row) + "\n")
    configs = "".join(
        f"- config_name: {name}\n  data_files:\n  - {{split: test, path: {name}/test.jsonl}}\n"
        for name in ("main", "other")
    )
    (repo / "README.md").write_text(f"---\nconfigs:\n{configs}---\n")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    origin = {"hub": {"id": str(repo), "subset": "main", "revision": "0" * 40}}
    done = fetch(root, tmp_path, benchmark="gsm8k", origin=origin)
    assert done.returncode == 0, done.stderr
    assert read_jsonl(tmp_path / "q.jsonl")[0]["gold"] == "2"
    assert read_json(tmp_path / "q.json")["origin"]["revision"] == "0" * 40
