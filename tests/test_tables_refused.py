"""Unfit files and settings of tables: the file, the line or the key is named, and no table is made."""

import json

import made_tables
import numpy as np
import pytest
from made_tables import MIXED, trajectory

from scalebio.errors import UserError
from scalebio.tables import inputs, tidy


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return made_tables.make_study(tmp_path_factory.mktemp("runs"))


def one(key, path):
    return {"runs": [{"experiment": "x", "method": "m", "seed": 0, key: str(path)}]}


def test_missing_column_names_file_and_column(tmp_path):
    path = tmp_path / "trajectory.parquet"
    trajectory(2).drop(columns="quantity").to_parquet(path)
    with pytest.raises(UserError, match="trajectory.parquet: no column quantity"):
        inputs.build("trajectories", one("trajectory", path))


def test_file_that_is_no_parquet_or_absent_is_named(tmp_path):
    path = tmp_path / "training.parquet"
    with pytest.raises(UserError, match="training.parquet: no such file"):
        inputs.build("training_curves", one("training", path))
    path.write_text("half written")
    with pytest.raises(UserError, match="training.parquet: not a readable Parquet file"):
        inputs.build("training_curves", one("training", path))


def test_only_empty_trajectories_make_no_table(tmp_path):
    trajectory(0).to_parquet(tmp_path / "trajectory.parquet")
    with pytest.raises(UserError, match="hold no matching rows: .*trajectory.parquet"):
        inputs.build("trajectories", one("trajectory", tmp_path / "trajectory.parquet"))


@pytest.mark.parametrize(
    ("table", "key", "text", "message"),
    [
        ("test_loss", "metrics", "{}", "metrics: no key test_loss"),
        ("weights", "weights", "{\n]", "weights, line 2: not valid JSON"),
        ("math", "math", "group\n", "math: no column benchmark, grouping"),
        ("mixtures", "mixture", '{"sources": {}}', "mixture: no key truncated"),
        ("mixtures", "mixture", '{"sources": {"a": {"asked": 1}}, "truncated": {}}', "sources.a has no rows, share"),
        ("mixtures", "mixture", json.dumps({"sources": {"a": MIXED}, "truncated": {}}), "mixture: truncated has no a"),
    ],
)
def test_malformed_files_are_named(tmp_path, table, key, text, message):
    (tmp_path / key).write_text(text)
    with pytest.raises(UserError, match=message):
        inputs.build(table, one(key, tmp_path / key))


@pytest.mark.parametrize(
    ("table", "key", "text", "message"),
    [
        ("mtbench", "scores", "category,turn\n", "scores: no column model, score"),
        ("mtbench", "scores", "", "scores: not a readable CSV file"),
        ("mtbench_differences", "differences", "method\n", "differences: no column comparison, baseline"),
        ("math_differences", "math_differences", "method\n", "math_differences: no column benchmark, grouping"),
        ("mtbench_repeats", "judgments", "{\n", "judgments, line 1: not valid JSON"),
        ("mtbench_repeats", "judgments", "", "no judgments to score"),
        ("mtbench_repeats", "judgments", "{}\n", "Judgment 1 has no category, cut, judge"),
        ("mtbench_repeats", "judgments", None, "judgments: no such file"),
    ],
)
def test_malformed_files_of_an_experiment_are_named(tmp_path, table, key, text, message):
    if text is not None:
        (tmp_path / key).write_text(text)
    with pytest.raises(UserError, match=message):
        inputs.build(table, {"experiments": {"x": {"runs": [], key: str(tmp_path / key)}}})


def test_scores_of_other_models_than_the_runs_are_named(study):
    facts = study["experiments"]["noise"]
    fewer = {"noise": facts | {"runs": facts["runs"][1:]}}
    with pytest.raises(UserError, match="scores of noise: noise-uniform-seed0 stands in the scores or among the runs"):
        inputs.build("mtbench", {"experiments": fewer})
    with pytest.raises(UserError, match="No run names the judged noise-uniform-seed0"):
        inputs.build("mtbench_repeats", {"experiments": fewer})
    with pytest.raises(UserError, match="no experiment names a file for the table mtbench"):
        inputs.build("mtbench", {"experiments": {"x": {"sources": ["a"]}}})


def test_settings_without_files_or_with_a_run_twice(study):
    with pytest.raises(UserError, match="no run names a file for the table weights"):
        inputs.build("weights", {"runs": []})
    with pytest.raises(UserError, match="`stages` is empty"):
        inputs.build("costs", {})
    with pytest.raises(UserError, match="a run has no seed"):
        inputs.build("weights", {"runs": [{"experiment": "x", "method": "m"}]})
    with pytest.raises(UserError, match="listed twice"):
        inputs.build("weights", {"runs": study["runs"][:1] * 2})


def test_csv_numbers_are_checked_and_names_stay_text(tmp_path):
    path = tmp_path / "weights.csv"
    path.write_text("source,weight\nNA,0.5\n007,\n")
    frame = tidy.read_csv(path, ["source", "weight"])
    assert frame["source"].tolist() == ["NA", "007"] and np.isnan(frame["weight"].tolist()[1])
    path.write_text("source,weight\na,0.5\nb,lots\n")
    with pytest.raises(UserError, match="weights.csv, line 3, column weight: expected a number, found 'lots'"):
        tidy.read_csv(path, ["source", "weight"])
