"""Pools: shares, disjoint validation and test rows, leakage refused or dropped and counted, the entry point."""

import json
import subprocess
import sys
from collections import Counter

import pytest

from scalebio import pools, records, sources
from scalebio.allotment import allot
from scalebio.config import PoolSettings, Reference, Source
from scalebio.errors import UserError
from scalebio.records import Record


def rows(source, numbers, answer="a{}", category=None):
    return [
        Record(
            [{"role": "user", "content": f"{source} {n}"}, {"role": "assistant", "content": answer.format(n)}],
            source,
            n,
            category,
        )
        for n in numbers
    ]


def experiment(**changes):
    base = {"sources": ["x", "y"], "reference": "r"}
    return PoolSettings.model_validate(base | changes)


def reference(**changes):
    base = {"validation": {"v": 2, "w": 1}, "validation_rows": 20, "test_rows": 30}
    return Reference.model_validate(base | changes)


@pytest.fixture
def given():
    return {
        "x": rows("x", range(50)),
        "y": rows("y", range(40)),
        "v": rows("v", range(60), category="skill"),
        "w": rows("w", range(60)),
    }


@pytest.mark.parametrize(
    ("total", "shares", "counts"),
    [
        (10, {"a": 1, "b": 1, "c": 1}, {"a": 4, "b": 3, "c": 3}),
        (20, {"a": 2, "b": 1}, {"a": 13, "b": 7}),
        (100, {"a": 0.7, "b": 0.3}, {"a": 70, "b": 30}),
        (1, {"a": 0.4, "b": 0.6}, {"a": 0, "b": 1}),
    ],
)
def test_allot_by_largest_remainder(total, shares, counts):
    assert allot(total, shares) == counts


def test_a_pool_has_its_shares_and_no_row_twice(given):
    pool, manifest = pools.build("e", experiment(), reference(), given)
    assert manifest["rows"] == {
        "train": {"x": 50, "y": 40},
        "validation": {"v": 13, "w": 7},
        "test": {"v": 20, "w": 10},
    }
    held_out = [(record.source, record.row) for record in pool["validation"] + pool["test"]]
    assert len(held_out) == len(set(held_out))
    assert Counter(record.category for record in pool["test"]) == {"skill": 20, "w": 10}
    assert manifest["sha256"]["test"] == records.sha256(pool["test"])
    assert manifest["sources"]["x"] == records.sha256(given["x"])
    assert manifest["leakage"]["same_prompt"] == {"x": 0, "y": 0}


def test_every_training_row_is_there_in_a_seeded_order(given):
    first, second = (pools.build("e", experiment(), reference(), given)[0]["train"] for _ in range(2))
    assert first == second and first != given["x"] + given["y"]
    assert sorted(record.row for record in first[:50]) == list(range(50))


def test_experiments_that_share_a_reference_share_its_rows(given):
    first, _ = pools.build("e", experiment(), reference(), given)
    second, _ = pools.build("f", experiment(sources=["y", "x"]), reference(), given)
    assert first["validation"] == second["validation"] and first["test"] == second["test"]


def test_test_shares_of_their_own(given):
    _, manifest = pools.build("e", experiment(), reference(test={"w": 1}), given)
    assert manifest["rows"]["test"] == {"w": 30} and manifest["shares"]["test"] == {"w": 1.0}


def test_rows_that_repeat_validation_rows_leave_the_test_set(given):
    given["v"] = rows("v", [n % 40 for n in range(80)])
    pool, manifest = pools.build("e", experiment(), reference(validation={"v": 1}), given)
    assert not {record.prompt for record in pool["validation"]} & {record.prompt for record in pool["test"]}
    assert manifest["test_duplicates_removed"]["v"] > 0


def test_a_reference_that_asks_for_too_much_names_both_numbers(given):
    with pytest.raises(UserError, match=r"reference `r`: asks for 67 validation rows of source `v`, but only 60"):
        pools.build("e", experiment(), reference(validation_rows=100), given)
    with pytest.raises(
        UserError, match=r"asks for 50 test rows of source `v`, but only 40 .* after the validation rows"
    ):
        pools.build("e", experiment(), reference(validation={"v": 1}, test_rows=50), given)
    del given["w"]
    with pytest.raises(UserError, match="no records were given for its sources w"):
        pools.build("e", experiment(), reference(), given)


def leak(given):
    """Three validation or test prompts into source y: one exact, one with another answer, one differently spelled."""
    for n, (prompt, answer) in enumerate([("v 0", "a0"), ("v 1", "other"), ("  V\u00a0\n2 ", "other")]):
        given["y"].append(
            Record([{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}], "y", 100 + n)
        )


def test_leakage_is_refused_with_counts_and_an_example(given):
    leak(given)
    with pytest.raises(
        UserError, match=r"\(y: 3 of 43 rows\).*source `y`, row 101: 'v 0'.*experiments\.e\.leakage: drop"
    ):
        pools.build("e", experiment(), reference(validation={"v": 1}, validation_rows=30), given)


def test_leakage_can_be_dropped_from_training_and_is_counted(given):
    leak(given)
    settings = reference(validation={"v": 1}, validation_rows=30)
    pool, manifest = pools.build("e", experiment(leakage="drop"), settings, given)
    assert manifest["leakage"]["same_prompt"] == {"x": 0, "y": 3}
    assert manifest["leakage"]["same_prompt_and_answer"] == {"x": 0, "y": 1}
    assert manifest["leakage"]["rows"] == {"x": [], "y": [100, 101, 102]}
    assert manifest["rows"]["train"] == {"x": 50, "y": 40} and len(pool["validation"]) == 30


def test_a_control_may_leave_a_leak_where_it_is_and_it_is_counted(given):
    given["y"] = [Record(record.messages, "y", record.row) for record in given["v"]]
    settings = reference(validation={"v": 1}, validation_rows=30)
    pool, manifest = pools.build("e", experiment(leakage="allow"), settings, given)
    assert manifest["leakage"]["action"] == "allow" and manifest["leakage"]["same_prompt"]["y"] >= 30
    assert manifest["rows"]["train"]["y"] == len(given["y"])
    held_out = {pools.prompt_key(record) for record in pool["validation"]}
    assert held_out <= {pools.prompt_key(record) for record in pool["train"]}


def test_a_source_that_is_all_leakage_is_refused_even_when_dropping(given):
    given["y"] = [Record(record.messages, "y", record.row) for record in given["v"]]
    settings = reference(validation={"v": 1}, validation_rows=30)
    with pytest.raises(UserError, match="every row of source `y`"):
        pools.build("e", experiment(leakage="drop"), settings, given)


def test_plain_text_leaks_by_its_text(given):
    given["v"] = [Record([{"role": "assistant", "content": f"text {n}"}], "v", n) for n in range(60)]
    given["x"].append(Record([{"role": "assistant", "content": "Text 3"}], "x", 99))
    given["x"].append(Record([{"role": "assistant", "content": "another text"}], "x", 100))
    with pytest.raises(UserError, match=r"x: 1 of 52 rows"):
        pools.build("e", experiment(), reference(validation={"v": 1}, validation_rows=30), given)


def test_the_entry_point_writes_a_pool_or_says_why_not(root, tmp_path, given):
    for source, content in given.items():
        records.write(tmp_path / f"{source}.parquet", content)
    settings = {
        "name": "e",
        "experiment": experiment().model_dump(),
        "reference": reference().model_dump(),
    }
    command = [sys.executable, root / "scripts" / "build_pool.py", "--settings", json.dumps(settings)]
    command += ["--sources", *(f"{source}={tmp_path / source}.parquet" for source in given)]
    command += [f"--{part}={tmp_path / 'pool' / part}.parquet" for part in ("train", "validation", "test")]
    command += ["--manifest", tmp_path / "pool" / "pool.json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "90 train, 20 validation, 30 test" in done.stdout, done.stderr
    expected, manifest = pools.build("e", experiment(), reference(), given)
    assert records.read(tmp_path / "pool" / "test.parquet") == expected["test"]
    written = json.loads((tmp_path / "pool" / "pool.json").read_text())
    assert set(written.pop("provenance")["inputs"]) == set(given) and written == manifest
    leak(given)
    records.write(tmp_path / "y.parquet", given["y"])
    (tmp_path / "pool" / "pool.json").unlink()
    settings["reference"] = reference(validation={"v": 1}, validation_rows=30).model_dump()
    command[3] = json.dumps(settings)
    failed = subprocess.run(command, capture_output=True, text=True)
    assert failed.returncode == 2 and "also stand in training sources" in failed.stderr
    assert not (tmp_path / "pool" / "pool.json").exists()


def test_real_alpaca_validation_prompts_stand_in_training_with_other_answers(shared_data):
    folder, given = shared_data / "alpaca_vs_gpt4", {}
    for name, file in {"x": "train_alpaca", "y": "train_gpt4_alpaca", "v": "val", "w": "test"}.items():
        entry = Source.model_validate({"file": str(folder / f"{file}.json"), "drop_unanswered": True})
        given[name], _ = sources.load(name, entry)
    settings = reference(validation={"v": 1}, validation_rows=1000, test={"w": 1}, test_rows=900)
    with pytest.raises(UserError, match=r"x: \d+ of 8993"):
        pools.build("e", experiment(), settings, given)
    pool, manifest = pools.build("e", experiment(leakage="drop"), settings, given)
    leaks = manifest["leakage"]
    assert leaks["same_prompt"]["x"] > leaks["same_prompt_and_answer"]["x"] > 0
    held_out = {pools.prompt_key(record) for record in pool["validation"] + pool["test"]}
    assert not held_out & {pools.prompt_key(record) for record in pool["train"]}
