"""What an audit finds in rows that it has read: what the jobs would say, all at once, and what they would not say at all."""

import json
from pathlib import Path

import pytest
from studies import study

from scalebio import base_models
from scalebio.audit import rows, sources
from scalebio.audit.findings import FAILS, NOTES, WARNS
from scalebio.config import Scratch
from scalebio.files import write_json

NOWHERE = Path("results/nowhere")
SCRATCH = {"hidden_size": 32, "intermediate_size": 64, "layers": 2, "heads": 4, "vocabulary": 300}


def numbered(name, count=600):
    return [{"prompt": f"{name} {number}?", "response": "two"} for number in range(count)]


@pytest.fixture
def use(tmp_path):
    """use(change, one=rows, …): the small study with these files as its sources, after `change`."""

    def using(change=lambda mapping: None, **files):
        def altered(mapping):
            for name, content in files.items():
                text = content if isinstance(content, str) else "".join(json.dumps(row) + "\n" for row in content)
                (tmp_path / f"{name}.jsonl").write_text(text, encoding="utf-8")
                mapping["sources"][name] = {"file": str(tmp_path / f"{name}.jsonl"), "licence": "CC0"}
            change(mapping)

        return study(altered)

    return using


def told(one, results=NOWHERE):
    return list(rows.unusable(one, sources.supplies(one, results), results))


def found(one, results=NOWHERE):
    return [(finding.gravity, finding.key) for finding in told(one, results)]


def test_files_are_read_as_the_study_says_and_all_that_is_wrong_is_told_at_once(use):
    sound = use(one=numbered("one"))
    (note,) = told(sound)
    assert (note.gravity, note.key) == (
        NOTES,
        "experiments.chat",
    ) and "the rows of `two`, `held_out` are not read" in note.what
    assert sources.supplies(sound, NOWHERE)["one"] == sources.Supply(600, "counted in the file")
    assert sources.supplies(sound, NOWHERE, read=False)["one"].rows is None
    wrong = use(one=[*numbered("one"), {"prompt": "one?", "response": ""}], held_out="no JSON\n")
    assert set(found(wrong)) == {(FAILS, "sources.one"), (FAILS, "sources.held_out")}
    whats = [finding.what for finding in told(wrong)]
    assert (
        "1 of 601 rows have no answer (line 601)" in whats[0] and "held_out.jsonl, line 1: not valid JSON" in whats[1]
    )


def test_rows_are_put_together_as_the_pool_will_be(use):
    files = {name: numbered(name) for name in ("one", "two", "held_out")}
    for content in files.values():
        content[5]["prompt"] = "in all of them"

    def study_with(**experiment):
        def change(mapping):
            mapping["references"]["wanted"] |= {"validation_rows": 400}
            mapping["experiments"]["chat"] |= experiment

        return use(change, **files)

    refused = study_with()
    assert found(refused) == [(FAILS, "experiments.chat")]
    (finding,) = told(refused)
    assert "(one: 1 of 600, two: 1 of 600 rows)" in finding.what and "leakage: drop" in finding.what
    (note,) = told(study_with(leakage="drop"))
    assert (note.gravity, note.key) == (NOTES, "experiments.chat.leakage") and "(`one`: 1, `two`: 1)" in note.what


def test_copies_within_a_source_and_between_sources(use):
    def told_of(**files):
        return [finding for finding in told(use(**files)) if finding.kind != "not checked"]

    assert told_of(one=[*numbered("one", 540), *numbered("one", 60)]) == [], "a tenth"
    (finding,) = told_of(one=[*numbered("one", 500), *numbered("ONE ", 100)])
    assert (finding.gravity, finding.key) == (WARNS, "sources.one") and finding.what.startswith("100 of 600 rows")
    (finding,) = told_of(held_out=[*numbered("wanted", 300), *numbered("wanted", 300)])
    assert finding.key == "sources.held_out", "of the reference too"
    (finding,) = told_of(one=[{"text": f"{number}"} for number in range(600)])
    assert (finding.gravity, finding.key) == (
        NOTES,
        "sources.one",
    ) and "600 of 600 rows of `one` have no prompt" in finding.what
    (finding,) = told_of(one=numbered("one"), two=[*numbered("two", 300), *numbered("one", 300)])
    assert (finding.gravity, finding.key) == (WARNS, "experiments.chat.sources")
    assert finding.what.startswith("`one` and `two` have 300 rows in common")


def test_sources_that_are_not_read_are_compared_by_where_they_come_from():
    def same(**parts):
        def change(mapping):
            mapping["sources"]["two"]["hub"] = mapping["sources"]["one"]["hub"]
            for name, index in parts.items():
                mapping["sources"][name]["part"] = {"index": index, "of": 2}

        return study(change)

    assert found(same()) == [(WARNS, "experiments.chat.sources")]
    assert found(same(one=0, two=1)) == []


# --- long rows -----------------------------------------------------------------------------------------------------------


def long_files():
    files = {name: numbered(name) for name in ("one", "two", "held_out")}
    for place in (7, 300):
        files["two"][place]["prompt"] = "Hi " * 80
    return files


def scratch(mapping):
    hardware = {"memory_gb": 8}
    warm_up = {"steps": 2, "batch": 2, "learning_rate": 1e-3}
    mapping["models"]["eight"] = {"scratch": SCRATCH, "max_length": 64, "warm_up": warm_up, "hardware": hardware}


def check_long(one, results=NOWHERE):
    (finding,) = told(one, results)
    assert (finding.gravity, finding.key) == (FAILS, "models.eight.max_length")
    assert "row 8" in finding.what and "row 301" in finding.what and "source `two`" in finding.what
    assert "max_length is 64, so no answer token fits, nor in 1 other row" in finding.what


def test_prompts_too_long_for_a_model_from_scratch(use):
    check_long(use(scratch, **long_files()))

    def shorter(mapping):
        scratch(mapping)
        mapping["sources"]["two"]["max_prompt_bytes"] = 60

    assert found(use(shorter, **long_files())) == []


def saved(folder):
    model, tokenizer = base_models.from_scratch(Scratch(**SCRATCH), ["two?"], max_length=64, seed=0)
    base_models.save(model, tokenizer, folder)


def test_prompts_too_long_for_a_model_in_a_folder_or_fetched_before(use, tmp_path):
    saved(tmp_path / "models" / "eight")

    def in_folder(mapping):
        hardware = {"memory_gb": 8}
        mapping["models"]["eight"] = {"path": str(tmp_path / "models/eight"), "max_length": 64, "hardware": hardware}

    check_long(use(in_folder, **long_files()))
    fetched = use(lambda mapping: mapping["models"]["eight"].update(max_length=64), **long_files())
    check_long(fetched, tmp_path)
    assert found(fetched) == [], "nothing is known before the tokenizer is here"


def test_a_tokenizer_that_cannot_be_read_is_told(use, tmp_path):
    write_json(tmp_path / "empty" / "config.json", {})

    def in_folder(mapping):
        mapping["models"]["eight"] = {"path": str(tmp_path / "empty"), "max_length": 64, "hardware": {"memory_gb": 8}}

    (finding,) = told(use(in_folder, **long_files()))
    assert finding.gravity == FAILS and "the tokenizer in" in finding.what and "cannot be read" in finding.what


def test_answers_that_are_cut_are_noted(use):
    files = {name: numbered(name) for name in ("one", "two", "held_out")}
    for row in files["one"][:300]:
        row["response"] = "two " * 80
    (finding,) = told(use(scratch, **files))
    assert (finding.gravity, finding.key) == (NOTES, "models.eight.max_length")
    share = int(finding.what.split("%")[0])
    assert 40 <= share <= 60 and "of 200 rows of `one`" in finding.what
