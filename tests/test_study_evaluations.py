"""Study files: what `evaluations` asks of MT-Bench and of mathematics is refused where it cannot be."""

import pytest
from good_study import changed, faults

from scalebio.study import load_study

MTBENCH = {
    "from_test_set": 2,
    "data": [{"package": {"name": "wheel", "version": "1", "sha256": "0" * 64}}],
    "judge": {"kind": "offline_reference"},
}


def test_mtbench_answers_must_leave_room_for_questions_in_their_own_or_the_model_s_length():
    study = changed("evaluations.mtbench", MTBENCH)
    load_study(study)  # no experiment in `run` evaluates it
    study["experiments"]["first"]["evaluate"] = ["mtbench"]
    start = "evaluations.mtbench.max_new_tokens: 1024 leaves no room for a question in"
    assert [line.split(" = ")[0] for line in faults(study)] == [f"{start} models.tiny.max_length"]
    study["evaluations"]["mtbench"] = MTBENCH | {"max_length": 1024}
    assert [line.split(" = ")[0] for line in faults(study)] == [f"{start} evaluations.mtbench.max_length"]
    study["evaluations"]["mtbench"] = MTBENCH | {"max_length": 1025}
    load_study(study)


MATH = {"benchmarks": {"gsm8k": {"hub": {"id": "openai/gsm8k", "subset": "main", "revision": "unverified"}}}}


def test_math_answers_must_leave_room_for_questions_in_their_own_or_the_model_s_length():
    study = changed("evaluations.math", MATH)
    load_study(study)  # no experiment in `run` evaluates it
    study["experiments"]["first"]["evaluate"] = ["math"]
    start = "evaluations.math.max_new_tokens: 1024 leaves no room for a question in"
    assert [line.split(" = ")[0] for line in faults(study)] == [f"{start} models.tiny.max_length"]
    study["evaluations"]["math"] = MATH | {"max_length": 1024}
    assert [line.split(" = ")[0] for line in faults(study)] == [f"{start} evaluations.math.max_length"]
    study["evaluations"]["math"] = MATH | {"max_length": 1025}
    assert load_study(study).evaluations.math.benchmarks.named["gsm8k"].hub.split == "test"
    del study["evaluations"]["math"]
    assert faults(study) == ["experiments.first.evaluate: `math` needs `evaluations.math`, which is not there"]


def test_files_that_math_names_must_be_there_where_it_is_used(tmp_path):
    given = MATH | {"max_length": 2048, "chat_template": "no.jinja"}
    study = changed("evaluations.math", given | {"benchmarks": MATH["benchmarks"] | {"math": {"file": "no.jsonl"}}})
    study["offline_data"] = str(tmp_path)
    load_study(study)
    study["experiments"]["first"]["evaluate"] = ["math"]
    benchmarks = study["evaluations"]["math"]["benchmarks"]
    assert [line.split(" (")[0] for line in faults(study)] == [
        "evaluations.math.benchmarks.gsm8k.local: missing; `offline_data` is set, so a file in it must stand in for `hub`",
        "evaluations.math.benchmarks.math.file: there is no file no.jsonl",
        "evaluations.math.chat_template: there is no file no.jinja",
    ]
    benchmarks["gsm8k"] = benchmarks["gsm8k"] | {"local": "gsm8k.jsonl"}
    assert f"evaluations.math.benchmarks.gsm8k.local: there is no file {tmp_path / 'gsm8k.jsonl'}" in faults(study)


@pytest.mark.parametrize(
    "math, fault",
    [
        ({"benchmarks": {}}, "evaluations.math.benchmarks: give `gsm8k`, `math` or both"),
        ({"benchmarks": {"gsm8": {}}}, "evaluations.math.benchmarks.gsm8: unknown key; did you mean `gsm8k`?"),
        ({"benchmarks": {"math": {}}}, "evaluations.math.benchmarks.math: give exactly one of file, hub; found none"),
        (
            {"benchmarks": {"math": {"file": "a.json", "local": "b.json"}}},
            "evaluations.math.benchmarks.math: `local` stands in for `hub`; for a plain file use `file`",
        ),
        (MATH | {"prompt": "Solve!"}, "evaluations.math: `prompt` needs `{question}` once"),
    ],
)
def test_a_benchmark_has_one_origin_and_the_prompt_a_question(math, fault):
    assert any(line.startswith(fault) for line in faults(changed("evaluations.math", math)))


def test_files_that_mtbench_names_must_be_there(tmp_path):
    study = changed("evaluations.mtbench", MTBENCH | {"chat_template": "no.jinja", "data": [{"folder": "nowhere"}]})
    starts = [
        "evaluations.mtbench.chat_template: there is no file no.jinja",
        "evaluations.mtbench.data.0.folder: there",
    ]
    assert [line[: len(start)] for line, start in zip(faults(study), starts, strict=True)] == starts
    study["evaluations"]["mtbench"]["data"] = [
        {"folder": str(tmp_path), "hub": {"id": "a/b", "revision": "unverified"}}
    ]
    assert any("data.0: give exactly one of package, folder, hub" in line for line in faults(study))


@pytest.mark.parametrize(
    "judge, fault",
    [
        ({"kind": "openai", "model": "m"}, "judge kind `openai` needs `base_url`"),
        ({"kind": "offline_reference", "model": "m"}, "judge kind `offline_reference` takes no `model`"),
        ({"kind": "local_gguf"}, "judge kind `local_gguf` needs `gguf`"),
        ({"kind": "offline_reference", "cost_limit": 1}, "`cost_limit` needs `price`"),
        ({"kind": "offline_reference", "context": 2048}, "max_tokens 2048 leaves no room for a prompt in context 2048"),
    ],
)
def test_a_judge_has_what_its_kind_needs(judge, fault):
    assert any(fault in line for line in faults(changed("evaluations.mtbench", MTBENCH | {"judge": judge})))
