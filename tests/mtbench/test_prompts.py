"""Judge prompts against FastChat's own code."""

import hashlib
import json

import pytest

from scalebio.errors import UserError
from scalebio.files import read_jsonl, write_jsonl
from scalebio.mtbench import prompts, questions

REFERENCES = "reference_answer/gpt-4.jsonl"
# sha256 of json.dumps([[system, user], ...]) of all 160 prompts as FastChat 0.2.36's `run_judge_single` sends them
# for the answers below (its code was run once, with the API call replaced by a recorder).
FASTCHAT = "d00fb08be83a110caeaf732155cb889f1a7dd2626592f843cc131bc4eefc7aba"


def test_all_160_prompts_are_fastchats_byte_for_byte(mt_bench_file, templates):
    sent = []
    for q in questions.mt_bench(mt_bench_file("question.jsonl"), mt_bench_file(REFERENCES), "gpt-4"):
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


def test_too_long_answers_lose_their_middle_marked_and_counted(templates, questions):
    question, answers = questions[1], ["a" * 3000 + "MIDDLE" + "b" * 3000, "c" * 100]
    whole = prompts.build(templates, question, answers, 2)
    assert prompts.fit(templates, question, answers, 2, whole.tokens) == whole
    fitted = prompts.fit(templates, question, answers, 2, whole.tokens - 1000)
    assert fitted.tokens <= whole.tokens - 1000
    assert "MIDDLE" not in fitted.user and "aaa" in fitted.user and "bbb" in fitted.user
    assert answers[1] in fitted.user  # the short answer stays whole
    shown = fitted.user.count("a" * 1000)
    assert shown and fitted.cut > 2000
    assert f"[... {fitted.cut} characters of this answer were left out here" in fitted.user
    assert (fitted.name, fitted.system) == (whole.name, whole.system)


def test_a_second_answer_is_no_matter_for_turn_1(templates, questions):
    prompt = prompts.fit(templates, questions[1], ["short", "long " * 5000], 1, 1000)
    assert prompt.cut == 0 and "left out here" not in prompt.user


def test_what_cannot_fit_is_an_error(templates, questions):
    questions[0]["reference"] = ["r" * 9000] * 2
    with pytest.raises(UserError, match="Question 1, turn 2: .*Raise `judge.context`"):
        prompts.fit(templates, questions[0], ["x" * 500, "y" * 500], 2, 2000)
