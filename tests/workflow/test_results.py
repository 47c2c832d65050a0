"""What a finished study consists of: every promised file, readable, complete and rightly labelled."""

import html
import json
import math
import re

import pandas as pd
import pyarrow.parquet as pq
import pytest

from scalebio.mtbench.reference_judge import LABEL
from scalebio.records import SCHEMA

pytestmark = pytest.mark.slow

RUNS = {method: f"results/small/sums/tiny/{method}/seed0" for method in ("uniform", "scalebio")}
SOURCES = ["sums", "sums_wrong", "dates", "brought"]
TAKEN = "results/small/transferred/other/scalebio/seed0"
TABLES = ["trajectories", "weights", "mixtures", "test_loss", "training_curves", "math", "math_differences", "transfer"]
TABLES += [
    "method_comparison",
    "costs",
    "hyperparameters",
    "training_costs",
    "sources",
    "memory",
    "peak_memory",
    "weight_intervals",
    "gates",
]
FIGURES = ["sums_weights", "sums_final_weights", "test_loss", "training_curves", "reweighting_curves", "mixtures"]
FIGURES += ["math", "method_comparison"]
MODEL = ["config.json", "model.safetensors", "tokenizer.json", "provenance.json"]
PROVENANCE = {
    "settings",
    "settings_sha256",
    "inputs",
    "outputs",
    "content_sha256",
    "code",
    "lock_sha256",
    "libraries",
    "python",
    "machine",
}


def test_the_run_ends_with_where_the_report_is(finished):
    shown = (finished.path.parent / "finished.txt").read_text(encoding="utf-8")
    assert shown.count("The report: results/small/report.html") == 1


def test_every_promised_file_exists_and_is_not_empty(finished):
    sources = [f"results/small/sources/{name}.{kind}" for name in SOURCES for kind in ("parquet", "json")]
    pool = [f"results/small/sums/pool/{name}" for name in ("train.parquet", "validation.parquet", "pool.json")]
    run = ["weights.json", "trajectory.parquet", "row_scores.parquet", "mixture.parquet", "mixture.json"]
    run += ["training.parquet", "metrics.json"]
    run += [f"model/{name}" for name in MODEL]
    expected = [*sources, *pool, "results/small/sums/pool/test.parquet"]
    expected += [f"results/small/sums/tiny/base/{name}" for name in MODEL]
    expected += ["results/small/sums/math/differences.csv", "results/small/report.html"]
    expected += [
        f"results/small/downloads/math/{name}.{kind}" for name in ("gsm8k", "math") for kind in ("jsonl", "json")
    ]
    expected += [f"{path}/{name}" for path in (*RUNS.values(), TAKEN) for name in run]
    expected += [
        f"{path}/math/{name}" for path in RUNS.values() for name in ("answers.jsonl", "graded.jsonl", "scores.csv")
    ]
    expected += [f"results/small/tables/{name}.{kind}" for name in TABLES for kind in ("csv", "md", "tex")]
    expected += [f"results/small/figures/{name}.{kind}" for name in FIGURES for kind in ("pdf", "png")]
    expected += [f"results/small/claims.{kind}" for kind in ("csv", "md", "tex")]
    results = finished.results()
    assert [path for path in expected if not results.get(path)] == []


def test_tables_of_the_study_hold_what_the_study_says(finished):
    names = ("hyperparameters", "training_costs", "sources", "memory")
    tables = {name: pd.read_csv(finished.path / f"results/small/tables/{name}.csv") for name in names}
    settings = tables["hyperparameters"].set_index(["experiment", "method", "stage", "setting"])["value"]
    assert settings["sums", "scalebio", "weights", "alpha"] == "10.0", "a default that the study does not name"
    assert settings["sums", "scalebio", "weights", "lisa.layers"] == "1"
    assert settings["transferred", "scalebio", "weights", "weights_from"] == "sums"
    assert settings["sums", "uniform", "finetuning", "rows"] == "64"
    costs = tables["training_costs"].set_index(["experiment", "method", "stage"])
    assert ("transferred", "scalebio", "weights") not in costs.index
    assert costs.loc[("sums", "scalebio", "weights"), "forward_tokens"] > 0 and (costs["seconds"] > 0).all()
    assert (costs["gpu_seconds"] == 0).all()
    sources = tables["sources"].set_index("source")
    assert sources["roles"].to_dict() == dict.fromkeys(SOURCES, "train") | {"sums_held_out": "validation test"}
    assert sources.loc["sums_wrong", "spoiled"] == 1 and sources.loc["brought", "origin"] == "data/brought.jsonl"
    memory = tables["memory"].drop_duplicates("model").set_index("model")["model_parameters"]
    for path, model in (("sums/tiny", "tiny"), ("transferred/other", "other")):
        assert memory[model] == finished.json(f"results/small/{path}/base/provenance.json")["parameters"]


def test_mtbench_files_exist(finished, with_mtbench):
    results = finished.results()
    expected = [f"{path}/mtbench/answers.jsonl" for path in RUNS.values()]
    names = ["questions.jsonl", "judgments.jsonl", "scores.csv", "differences.csv"]
    expected += [f"results/small/sums/mtbench/{name}" for name in names]
    for name in ("mtbench", "mtbench_differences"):
        expected += [
            f"results/small/{file}" for file in (f"tables/{name}.csv", f"tables/{name}.md", f"figures/{name}.png")
        ]
    assert [path for path in expected if not results.get(path)] == []


def test_nothing_temporary_is_left(finished):
    assert [path for path in finished.results() if ".part" in path or ".download" in path] == []


def test_results_of_the_other_studies_are_not_touched(finished):
    assert {path.name for path in (finished.path / "results").iterdir()} == {".gitkeep", "small"}


def test_records_have_the_agreed_columns(finished):
    for path in (finished.path / "results" / "small").glob("s*/**/*.parquet"):
        if path.parent.name in ("sources", "pool") or path.name == "mixture.parquet":
            assert pq.read_schema(path).remove_metadata().equals(SCHEMA), path


@pytest.mark.parametrize("method", RUNS)
def test_weights_sum_to_one(finished, method):
    weights = finished.json(f"{RUNS[method]}/weights.json")
    assert list(weights["weights"]) == SOURCES
    assert math.isclose(sum(weights["weights"].values()), 1, abs_tol=1e-12)
    assert (weights["method"], weights["seed"]) == (method, 0)


def test_validation_rows_are_drawn_again_where_wanted_and_only_methods_that_learn_depend_on_it(finished):
    settings = {
        method: finished.json(f"{path}/weights.json")["provenance"]["settings"] for method, path in RUNS.items()
    }
    assert settings["scalebio"]["validation_bootstrap"] is True and "validation_bootstrap" not in settings["uniform"]
    table = pd.read_csv(finished.path / "results/small/tables/weight_intervals.csv")
    # With one seed nothing is said; transferred weights vary with what those they are taken from were learned on.
    assert set(table["varied"]) == {"data order, layers, validation rows"}
    assert set(table["verdict"]) == {"too few seeds to say"} and table["low"].isna().all()
    assert (table[table["experiment"] == "sums"].groupby("method")["rows"].first() == 64).all()


def test_weights_taken_from_another_experiment_are_those_and_the_other_tokenizer_is_recorded(finished):
    taken, learned = (finished.json(f"{path}/weights.json") for path in (TAKEN, RUNS["scalebio"]))
    assert taken["weights"] == learned["weights"]
    expected = {"from": "sums", "model": "tiny", "template_changed": False, "tokenizer_changed": True}
    assert taken["transferred"] == expected and "transferred" not in learned
    log = (finished.path / "logs/small/transfer_weights/transferred/other/scalebio/seed0.log").read_text(
        encoding="utf-8"
    )
    assert "taken from sums; learned with model tiny, used with other; changed: tokenizer" in log
    table = pd.read_csv(finished.path / "results/small/tables/transfer.csv")
    assert table[["experiment", "model", "for_model", "method"]].values.tolist() == [
        ["sums", "tiny", "other", "scalebio"]
    ]
    assert table["cannot_say"].tolist() == ["no weights were learned with other: no agreement, no regret"]


def test_trajectory_has_every_quantity(finished):
    trajectory = pd.read_parquet(finished.path / RUNS["scalebio"] / "trajectory.parquet")
    assert list(trajectory.columns) == ["step", "source", "quantity", "value"]
    by_source = trajectory[trajectory["source"].notna()]
    whole = trajectory[trajectory["source"].isna()]
    assert set(by_source["quantity"]) == {"weight", "gap"} and set(by_source["source"]) == set(SOURCES)
    assert set(whole["quantity"]) == {"L1", "L2_w", "L2_u", "seconds", "peak_memory_gb", "tokens"}
    assert trajectory["value"].notna().all()


@pytest.mark.parametrize("file", ["weights.json", "mixture.json", "metrics.json", "model/provenance.json"])
def test_provenance_is_complete_and_names_no_place(finished, file):
    for method, path in RUNS.items():
        provenance = finished.json(f"{path}/{file}")["provenance"]
        assert provenance.keys() >= PROVENANCE, (method, file)
        assert all(re.fullmatch("[0-9a-f]{64}", entry["sha256"]) for entry in provenance["inputs"].values())
        assert all(re.fullmatch("[0-9a-f]{64}", value) for value in provenance["code"].values())
        assert str(finished.path) not in json.dumps(provenance, ensure_ascii=False)


def test_the_hash_of_the_chat_template_is_recorded_where_a_tokenizer_was_used(finished):
    hashes = {
        finished.json(f"{path}/{file}")["provenance"]["chat_template_sha256"]
        for path in RUNS.values()
        for file in ("mixture.json", "metrics.json", "model/provenance.json")
    }
    assert len(hashes) == 1


def test_every_gate_has_a_verdict_and_the_table_tells_it(finished):
    table = pd.read_csv(finished.path / "results/small/tables/gates.csv", keep_default_na=False)
    assert table[["gate", "experiment", "fatal"]].values.tolist() == [
        [gate, experiment, "no"] for gate in ("leakage", "template") for experiment in ("sums", "transferred")
    ]
    for row in table.itertuples():
        verdict = finished.json(f"results/small/gates/{row.gate}/{row.experiment}.json")
        assert (verdict["verdict"], len(verdict["findings"]), verdict["what"]) == (row.verdict, row.findings, row.what)
        assert verdict["provenance"].keys() >= PROVENANCE and verdict["threshold"]
    # In each run at least base, weights or not, mixture, model and metrics: a tokenizer and a template of each.
    template = finished.json("results/small/gates/template/sums.json")
    assert template["verdict"] == "passed" and template["threshold"]["hashes_compared"] >= 2 * 2 * 4
    assert "gsm8k" in finished.json("results/small/gates/leakage/sums.json")["what"]


def test_mixture_has_the_asked_rows(finished):
    for path in RUNS.values():
        assert pq.read_metadata(finished.path / path / "mixture.parquet").num_rows == 64
        assert sum(entry["rows"] for entry in finished.json(f"{path}/mixture.json")["sources"].values()) == 64


def test_metrics(finished):
    for path in RUNS.values():
        metrics = finished.json(f"{path}/metrics.json")
        assert 0 < metrics["test_loss"] < 10 and metrics["n_test"] == 16
        assert 0 <= metrics["accuracy"] <= 1 and metrics["accuracy_n"] == 8


def test_every_question_of_mathematics_is_asked_graded_and_counted(finished):
    for path in RUNS.values():
        graded = pd.read_json(finished.path / path / "math/graded.jsonl", lines=True, dtype=False)
        assert graded.groupby("benchmark").size().to_dict() == {"gsm8k": 3, "math": 4}
        assert not graded["shortened"].any()
    table = pd.read_csv(finished.path / "results/small/tables/math.csv")
    assert set(table["method"]) == set(RUNS)
    whole = table[table["grouping"] == "all"]
    assert whole["n"].tolist() == [3, 4] * 2 and (whole["unparsed"] <= whole["n"]).all()
    assert set(table[table["grouping"] == "subject"]["group"]) == {"Algebra", "Prealgebra"}
    differences = pd.read_csv(finished.path / "results/small/tables/math_differences.csv")
    assert set(differences["method"]) == {"scalebio"} and set(differences["verdict"]) == {"not distinguishable"}


def test_training_has_both_splits(finished):
    training = pd.read_parquet(finished.path / RUNS["uniform"] / "training.parquet")
    assert list(training.columns) == ["step", "examples", "split", "loss"]
    assert set(training["split"]) == {"training", "validation"}
    assert training["examples"].max() == 64


def test_vector_and_raster_figures_are_what_they_say(finished):
    for name in FIGURES:
        figure = finished.path / "results/small/figures" / name
        assert figure.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
        assert figure.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_the_offline_judge_is_labelled_wherever_it_shows(finished, with_mtbench):
    assert "not an LLM" in LABEL
    folder, tables = finished.path / "results/small/sums/mtbench", finished.path / "results/small/tables"
    rows = [json.loads(row) for row in (folder / "judgments.jsonl").read_text(encoding="utf-8").splitlines()]
    assert rows and {row["judge"][0] for row in rows} == {LABEL}
    assert len({row["model"] for row in rows}) == len(RUNS)
    for path in [folder / "scores.csv", folder / "differences.csv", *tables.glob("mtbench*.csv")]:
        assert set(pd.read_csv(path)["judge"]) == {LABEL}, path
    for path in tables.glob("mtbench*.md"):
        assert LABEL in path.read_text(encoding="utf-8"), path


def test_every_job_left_a_log_and_a_benchmark(finished):
    logs = {
        path.relative_to(finished.path / "logs/small").with_suffix("") for path in finished.path.glob("logs/**/*.log")
    }
    folder = finished.path / "results/small/benchmarks"
    benchmarks = {path.relative_to(folder).with_suffix("") for path in folder.glob("**/*.tsv")}
    assert benchmarks == logs
    assert len(logs) > 25


def test_logs_hold_both_streams(finished):
    fetched = (finished.path / "logs/small/fetch_source/brought.log").read_text(encoding="utf-8")
    assert "source brought: 60 rows" in fetched  # printed to stdout
    tuned = (finished.path / "logs/small/finetune/sums/tiny/uniform/seed0.log").read_text(encoding="utf-8")
    assert "fine-tuning sums/uniform/seed0: 4/4" in tuned  # progress, on stderr


def variable(page: str, name: str) -> dict:
    """A JSON object that the page's script assigns to a variable."""
    return json.JSONDecoder().raw_decode(page, page.index(f'var {name} = {{"') + len(f"var {name} = "))[0]


def test_the_report_is_one_file_with_every_figure(finished_copy):
    finished_copy.run("--report", "report.html")
    text = (finished_copy.path / "report.html").read_text(encoding="utf-8")
    assert "ScaleBiO: study small" in text
    results = variable(text, "results")
    images = {entry["name"]: entry for path, entry in results.items() if "/figures/" in path}
    assert {f"{name}.png" for name in FIGURES} <= images.keys()
    for name, entry in images.items():
        assert "What to see" in entry["caption"], name
        assert entry["labels"]["figure"]
        assert entry["data_uri"].startswith("data:image/png;")
    tables = {entry["labels"]["table"] for path, entry in results.items() if "/tables/" in path}
    assert set(TABLES) <= tables
    assert {"sums", "All experiments", "Tables"} <= set(variable(text, "categories"))
    if "mtbench.png" in images:
        assert "not a language model" in html.unescape(images["mtbench.png"]["caption"])
    assert not re.search(r'<(script|link|img)[^>]+(src|href)="https?:', text), "the report needs a network"


def test_no_result_names_the_place_of_this_repository(finished, root):
    assert [path for path, content in finished.results().items() if str(root).encode() in content] == []
