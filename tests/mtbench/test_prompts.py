"""Judge prompts against FastChat's own code."""

import hashlib
import json

import pytest

from scalebio.errors import UserError
from scalebio.files import read_jsonl, write_jsonl
from scalebio.mtbench import prompts, questions

# sha256 of json.dumps([[system, user], ...]) of all 160 prompts as FastChat 0.2.36's `run_judge_single` sends them
# for the answers below (its code was run once, with the API call replaced by a recorder).
FASTCHAT = "d00fb08be83a110caeaf732155cb889f1a7dd2626592f843cc131bc4eefc7aba"


def test_all_160_prompts_are_fastchats_byte_for_byte(mt_bench_file, templates):
    sent = []
    for q in questions.from_package(mt_bench_file("question.jsonl"), mt_bench_file(questions.REFERENCE_FILE)):
        i = q["question_id"]
        for turn in (1, 2):
            prompt = prompts.build(templates, q, [f"first answer {{to}} {i}", f"second answer {i}\n[[10]]"], turn)
            sent.append([prompt.system, prompt.user])
    assert hashlib.sha256(json.dumps(sent).encode()).hexdigest() == FASTCHAT


def test_a_reference_chooses_the_prompt(templates, questions):
    names = [prompts.build(templates, q, ["a", "b"], turn).name for q in questions[1:] for turn in (1, 2)]
    assert names == ["single-math-v1", "single-math-v1-multi-turn", "single-v1", "single-v1-multi-turn"]


def test_a_file_without_a_prompt_or_with_other_slots_is_refused(mt_bench_file, tmp_path):
    rows = read_jsonl(mt_bench_file("judge_prompts.jsonl"))
    write_jsonl(tmp_path / "p.jsonl", [row for row in rows if row["name"] != "single-math-v1"])
    with pytest.raises(UserError, match="p.jsonl has no prompt 'single-math-v1'"):
        prompts.read(tmp_path / "p.jsonl")
    for row in rows:
        row["prompt_template"] = row["prompt_template"].replace("{answer}", "{reply}")
    write_jsonl(tmp_path / "p.jsonl", rows)
    with pytest.raises(UserError, match="'single-v1' has the slots .*'reply'"):
        prompts.read(tmp_path / "p.jsonl")
