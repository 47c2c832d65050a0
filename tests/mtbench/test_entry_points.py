"""The four entry points one after the other, as the rules call them, and what they say about bad input."""

import json
import os
import subprocess
import sys

import pandas as pd
import pytest

from scalebio import base_models, records
from scalebio.config import Scratch
from scalebio.files import read_jsonl
from scalebio.mtbench.questions import OWN
from scalebio.mtbench.reference_judge import LABEL

JUDGE = {"kind": "offline_reference"}


@pytest.fixture
def call(root):
    def run(name, settings, **paths):
        options = [part for key, path in paths.items() for part in (f"--{key}", str(path))]
        command = [sys.executable, str(root / "scripts" / name), "--settings", json.dumps(settings), *options]
        environment = {**os.environ, "JUDGE_API_KEY": "sk-secret-of-the-test"}
        return subprocess.run(command, capture_output=True, text=True, env=environment)

    return run


def test_bad_settings_are_listed_at_once(call, tmp_path, mtbench_data):
    settings = {"judge": {"kind": "human", "bach": 3}, "data": [{}], "sed": 0}
    paths = dict(
        questions=tmp_path, answers=tmp_path, downloads=tmp_path, journal=tmp_path / "j", output=tmp_path / "q"
    )
    done = call("mtbench_judgments.py", settings, **paths)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    for path in ("judge.kind", "judge.bach", "data.0", "sed"):
        assert path in done.stderr


def test_own_questions_need_the_test_rows(call, tmp_path, mtbench_data):
    settings = {"from_test_set": 2, "data": mtbench_data, "references": "gpt-4"}
    done = call("mtbench_questions.py", settings, downloads=tmp_path, output=tmp_path / "q.jsonl")
    assert done.returncode == 2 and "--test" in done.stderr
    assert not (tmp_path / "q.jsonl").exists()


@pytest.mark.slow
def test_from_test_rows_to_scores(call, tmp_path, mt_bench_file, mtbench_data):
    mt_bench_file("judge_prompts.jsonl")  # skips where the registry is out of reach
    downloads, test = mt_bench_file.downloads, tmp_path / "test.parquet"
    rows = [
        records.Record(
            [{"role": "user", "content": f"{word} {i}?"}, {"role": "assistant", "content": f"{i} {word}"}], "s", i, word
        )
        for word in ("sum", "sort")
        for i in range(6)
    ]
    records.write(test, rows)
    shape = Scratch(hidden_size=32, intermediate_size=64, layers=2, heads=2, vocabulary=300)
    model, tokenizer = base_models.from_scratch(shape, [r.prompt for r in rows], 128, 0)
    base_models.save(model, tokenizer, tmp_path / "model")
    (tmp_path / "model/provenance.json").write_text("{}")

    asked, answers = tmp_path / "questions.jsonl", tmp_path / "answers.jsonl"
    judgments, table, differences = tmp_path / "judgments.jsonl", tmp_path / "scores.csv", tmp_path / "differences.csv"
    answering = {"model_id": "tiny", "seed": 0, "max_new_tokens": 8, "batch": 4, "max_length": 128}
    answering |= {"engine": "transformers", "chat_template": None}
    asking = {"from_test_set": 2, "data": mtbench_data, "references": "gpt-4", "seed": 0}
    scoring = {"runs": [{"model_id": "tiny", "method": "uniform", "seed": 0}], "baseline": "uniform", "seed": 0}
    steps = [
        ("mtbench_questions.py", asking, dict(test=test, downloads=downloads, output=asked)),
        (
            "mtbench_answers.py",
            answering,
            dict(
                model=tmp_path / "model/provenance.json",
                questions=asked,
                journal=tmp_path / "a.journal",
                output=answers,
            ),
        ),
        (
            "mtbench_judgments.py",
            {"judge": JUDGE, "data": mtbench_data},
            dict(
                questions=asked,
                answers=answers,
                downloads=downloads,
                journal=tmp_path / "j.journal",
                output=judgments,
            ),
        ),
        ("mtbench_scores.py", scoring, dict(judgments=judgments, scores=table, differences=differences)),
    ]
    for name, settings, paths in steps:
        done = call(name, settings, **paths)
        assert done.returncode == 0, done.stderr
        assert "sk-secret" not in done.stdout + done.stderr
    assert LABEL in done.stdout and OWN in done.stdout
    assert len(read_jsonl(asked)) == len(read_jsonl(answers)) == 4
    rows = read_jsonl(judgments)
    assert len(rows) == 8 and all(row["judge"][0] == LABEL and row["questions"] == OWN for row in rows)
    assert "sk-secret" not in judgments.read_text()
    scores = pd.read_csv(table)
    assert set(scores["judge"]) == {LABEL} and set(scores["questions"]) == {OWN}
    assert set(scores["category"]) == {"all", "sum", "sort"}
    # FastChat's show_result, first lines: it must read our file and see our numbers.
    frame = pd.read_json(judgments, lines=True)[["model", "score", "turn"]]
    mean = frame[frame["score"] != -1].groupby("model")["score"].mean()["tiny"]
    assert scores.query("category == 'all' and turn == 'both'")["score"].iloc[0] == pytest.approx(mean)
