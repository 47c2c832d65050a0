"""Bad input, given as a user gives it: one clear message, an exit status that says so, and nothing lost."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from clones import ENVIRONMENT, STUDY, Clone

pytestmark = pytest.mark.slow

FETCHED = "results/small/sources/brought.parquet"
LOG = "logs/small/fetch_source/brought.log"


def refused(clone: Clone, *arguments: str) -> str:
    """What Snakemake shows when it refuses to plan."""
    done = clone.snakemake(*arguments)
    assert done.returncode != 0, done.stdout
    for noise in ("Traceback", "  File ", "pydantic", "common.smk"):
        assert noise not in done.stdout, done.stdout
    return done.stdout


def failed(clone: Clone, log: str, *arguments: str) -> str:
    """The message of the one job that fails, which stands in its log, in what Snakemake shows, and once more at the end of that."""
    done = clone.snakemake(*arguments)
    assert done.returncode != 0, done.stdout
    assert "Traceback" not in done.stdout, done.stdout
    text = (clone.path / log).read_text(encoding="utf-8")
    message = text[text.index("error: ") :].strip()
    before, _, after = done.stdout.partition("Exiting because a job execution failed")
    assert before.count(message) == 1, done.stdout
    last = [line for line in after.splitlines() if line.startswith("Failed: ")]
    # Where Snakemake is to be quiet, it does not tell which job failed.
    assert "-q" in arguments or (len(last) == 1 and f"{' '.join(message.split())} ({log})" in last[0]), done.stdout
    return message


# --- faults in the study file ------------------------------------------------------------------------------------


def test_every_fault_of_a_study_is_listed_at_once(clone):
    def spoil(study):
        study["models"]["tiny"]["max_lenght"] = study["models"]["tiny"].pop("max_length")
        study["finetuning"]["rows"] = "many"
        study["methods"]["scalebio"]["kind"] = "scalebo"
        study["experiments"]["sums"]["sources"].append("dats")
        study["sources"]["brought"]["file"] = "data/bought.jsonl"

    clone.edit_study(spoil)
    shown = refused(clone)
    for part in (
        "models.tiny.max_lenght: unknown key; did you mean `max_length`?",
        "finetuning.rows: expected a whole number",
        "found 'many'",
        "methods.scalebio.kind: expected one of uniform, ",
        "found 'scalebo'; did you mean `scalebio`?",
        "experiments.sums.sources: there is no `dats` under `sources`; did you mean `dates`?",
        "sources.brought.file: there is no file data/bought.jsonl",
    ):
        assert part in shown, shown


def test_two_sources_with_one_name(clone):
    text = (clone.path / STUDY).read_text(encoding="utf-8")
    again = "  brought: {file: data/brought.jsonl, licence: CC-BY-4.0}\n"
    (clone.path / STUDY).write_text(text.replace("references:\n", f"{again}\nreferences:\n", 1), encoding="utf-8")
    shown = refused(clone)
    assert f"{STUDY}, line " in shown and "`sources.brought` is given twice (first in line " in shown


def test_a_study_file_without_the_name_of_a_study_is_not_taken_for_the_demo(clone):
    clone.edit_study(lambda study: study.pop("study"))
    assert "study: missing" in refused(clone)


def test_a_study_file_that_is_not_yaml_is_refused(clone):
    """By Snakemake itself, in its own words: it reads the file before any line of this repository."""
    text = (clone.path / STUDY).read_text(encoding="utf-8")
    (clone.path / STUDY).write_text(
        text.replace("run: [sums, transferred]", "run: [sums, transferred"), encoding="utf-8"
    )
    assert "not valid JSON or YAML" in refused(clone)


def test_results_survive_a_faulty_study_file(finished_copy):
    before = finished_copy.results()
    finished_copy.edit_study(lambda study: study["finetuning"].update(batsch=3))
    assert "finetuning.batsch: unknown key; did you mean `batch`?" in refused(finished_copy)
    assert finished_copy.results() == before


# --- faults in the data ------------------------------------------------------------------------------------------


def test_a_malformed_line_is_named_and_nothing_half_made_is_left(clone):
    with open(clone.path / "data/brought.jsonl", "a", encoding="utf-8") as file:
        file.write('{"prompt": "Und?", "response": \n')
    message = failed(clone, LOG, FETCHED)
    assert "data/brought.jsonl, line 61" in message
    assert not any(path.startswith("results/small/sources") for path in clone.results())


def test_rows_without_an_answer_are_refused_with_a_way_out(clone):
    with open(clone.path / "data/brought.jsonl", "a", encoding="utf-8") as file:
        file.write('{"prompt": "Und?", "response": ""}\n')
    message = failed(clone, LOG, FETCHED)
    assert "1 of 61 rows have no answer" in message and "drop_unanswered: true" in message


def test_an_empty_source_is_refused(clone):
    (clone.path / "data/brought.jsonl").write_text("\n")
    assert "brought" in failed(clone, LOG, FETCHED)


def test_a_broken_source_harms_no_result_of_the_others(finished_copy):
    before = finished_copy.results()
    with open(finished_copy.path / "data/brought.jsonl", "a", encoding="utf-8") as file:
        file.write("no JSON\n")
    failed(finished_copy, LOG)
    after = finished_copy.results()
    assert {path: after.get(path) for path in before if "/brought." not in path} == {
        path: content for path, content in before.items() if "/brought." not in path
    }
    # Once the file is as it was, only what was lost is made again, with the same content.
    lines = (finished_copy.path / "data/brought.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (finished_copy.path / "data/brought.jsonl").write_text("".join(lines[:-1]), encoding="utf-8")
    finished_copy.run(FETCHED)
    assert finished_copy.results()[FETCHED] == before[FETCHED]
    assert finished_copy.planned() == []


def test_leakage_is_refused_by_default(finished_copy):
    manifest = finished_copy.json("results/small/sums/pool/pool.json")
    row = {"prompt": "Wie heißt die Zahl nach 7?", "response": "8"}
    (finished_copy.path / "data/held_out.jsonl").write_text(
        "".join(json.dumps(row | {"prompt": row["prompt"].replace("7", str(n))}) + "\n" for n in range(59, 100)),
        encoding="utf-8",
    )

    def validate_on_leaked_rows(study):
        study["sources"]["held_out"] = {"file": "data/held_out.jsonl"}
        study["references"]["sums"]["validation"] = {"held_out": 1}
        study["references"]["sums"] |= {"test": {"sums_held_out": 1}, "validation_rows": 41}
        study["experiments"]["sums"]["leakage"] = "refuse"

    finished_copy.edit_study(validate_on_leaked_rows)
    pool = "results/small/sums/pool/pool.json"
    message = failed(finished_copy, "logs/small/build_pool/sums.log", pool)
    assert "brought: 1 of 60" in message and "experiments.sums.leakage: drop" in message

    finished_copy.edit_study(lambda study: study["experiments"]["sums"].update(leakage="drop"))
    finished_copy.run(pool)
    assert finished_copy.json(pool)["leakage"]["same_prompt"]["brought"] == 1
    assert manifest["leakage"]["action"] == "drop"


def test_a_prompt_longer_than_the_context_is_refused(finished_copy):
    row = {"prompt": "Zähle: " + " ".join(map(str, range(2000))), "response": "fertig"}
    (finished_copy.path / "data/brought.jsonl").write_text(
        "".join(json.dumps(row | {"prompt": f"{i}. {row['prompt']}"}) + "\n" for i in range(60)), encoding="utf-8"
    )
    message = failed(
        finished_copy, "logs/small/warm_up/sums/tiny.log", "results/small/sums/tiny/base/provenance.json", "-q"
    )
    assert "brought" in message and "96" in message, message


# --- the shell around a job --------------------------------------------------------------------------------------


def test_a_programming_error_fails_the_job_and_is_kept_in_its_log(finished_copy):
    """`| tee` must not swallow the exit status, and the way back to the fault must not be lost."""
    script = finished_copy.path / "scripts/scalebio/weighting/uniform.py"
    script.write_text(script.read_text(encoding="utf-8").replace("return Outcome(", "return Outcome(1 / 0 * "))
    target = "results/small/sums/tiny/uniform/seed0/weights.json"
    done = finished_copy.snakemake(target)
    log = (finished_copy.path / "logs/small/learn_weights/sums/tiny/uniform/seed0.log").read_text(encoding="utf-8")
    assert done.returncode != 0
    assert "ZeroDivisionError" in log and "ZeroDivisionError" in done.stdout
    assert not (finished_copy.path / target).exists()


def test_settings_with_quotes_and_umlauts_arrive_as_written(clone):
    licence = 'it\'s "our own" {licence}; größer $HOME `id` \\ & <β>'
    clone.edit_study(lambda study: study["sources"]["brought"].update(licence=licence))
    clone.run(FETCHED)
    assert clone.json("results/small/sources/brought.json")["licence"] == licence


def test_the_path_of_the_interpreter_may_hold_a_blank(clone, tmp_path):
    """A clone in a folder with a blank has its `.venv` there too."""
    (tmp_path / "an environment").symlink_to(Path(sys.prefix))
    python = tmp_path / "an environment" / "bin" / Path(sys.executable).name
    command = [str(python), *clone.command(FETCHED)[1:]]
    done = subprocess.run(command, cwd=clone.path, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (clone.path / FETCHED).exists()
