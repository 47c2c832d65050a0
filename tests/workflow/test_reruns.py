"""What makes Snakemake do work again: a change of content, and nothing else; and then only where it matters."""

import os
import re
import shutil

import pandas as pd
import pytest
from clones import SCALEBIO, STUDY, Clone, processor_seconds

pytestmark = pytest.mark.slow

FIGURE_MODULE = "scripts/scalebio/figures/weights.py"


def rules(jobs: list[tuple[str, str]]) -> set[str]:
    return {rule for rule, _ in jobs}


def comment(clone: Clone, file: str) -> None:
    with open(clone.path / file, "a", encoding="utf-8") as script:
        script.write("# a remark\n")


def test_a_second_run_does_nothing(finished_copy):
    before = finished_copy.results()
    assert "Nothing to be done" in finished_copy.run()
    assert finished_copy.results() == before


def test_touching_everything_that_is_not_a_result_triggers_nothing(finished_copy):
    results = finished_copy.path / "results"
    for path in finished_copy.path.rglob("*"):
        if path.is_file() and not path.is_relative_to(results) and ".snakemake" not in path.parts:
            os.utime(path)
    assert finished_copy.planned() == []


def test_a_fresh_clone_with_restored_results_triggers_nothing(finished, root, tmp_path):
    """Everything has new times, as after `git clone` and `tar xm`: only contents can tell."""
    copy = Clone(tmp_path / "clone")
    shutil.copytree(finished.path, copy.path, copy_function=shutil.copy, ignore=shutil.ignore_patterns(".snakemake"))
    shutil.copytree(finished.path / ".snakemake/metadata", copy.path / ".snakemake/metadata")
    assert copy.planned() == []
    # The records really are at work: a change of the study is still noticed.
    copy.edit_study(lambda study: study["finetuning"].update(rows=32))
    assert {"draw_mixture", "finetune", "evaluate"} <= rules(copy.planned())


def test_a_changed_figure_module_redraws_its_figure_only(finished_copy):
    comment(finished_copy, FIGURE_MODULE)
    assert rules(finished_copy.planned()) == {"figure_sums_weights", "report"}


def test_a_changed_house_style_redraws_every_figure_and_nothing_else(finished_copy):
    comment(finished_copy, "scripts/scalebio/figures/house.mplstyle")
    planned = rules(finished_copy.planned())
    assert {"figure_sums_weights", "figure_test_loss", "figure_mixtures"} <= planned
    assert all(rule.startswith("figure_") for rule in planned - {"report"})


def test_a_changed_loop_learns_again_and_keeps_sources_pools_and_base_model(finished_copy):
    comment(finished_copy, "scripts/scalebio/bilevel.py")
    planned = rules(finished_copy.planned())
    assert {"learn_weights", "draw_mixture", "finetune", "evaluate", "table_weights", "figure_test_loss"} <= planned
    assert not planned & {"fetch_source", "build_pool", "warm_up", "mtbench_questions"}


def test_a_changed_method_runs_again_and_others_do_not(finished_copy):
    finished_copy.edit_study(lambda study: study["methods"]["scalebio"].update(alpha=5.0))
    jobs = finished_copy.planned()
    # What stands for the whole experiment is made anew too; the judge finds the other methods' ratings in its journal.
    of_all = (
        "table_",
        "figure_",
        "claims",
        "report",
        "check_templates",
        "compare_math",
        "mtbench_judgments",
        "mtbench_scores",
    )
    runs = [outputs for rule, outputs in jobs if not rule.startswith(of_all)]
    assert {"learn_weights", "draw_mixture", "finetune", "evaluate"} <= rules(jobs)
    # And what is taken from its run.
    taken = "results/small/transferred/other/scalebio/seed0"
    assert runs and all(SCALEBIO in outputs or taken in outputs for outputs in runs)
    assert "transfer_weights" in rules(jobs)


def test_appended_validation_rows_and_another_way_to_train_reach_every_method(finished_copy):
    added = {"append_validation": True, "train": "full"}
    finished_copy.edit_study(lambda study: study["finetuning"].update(added))
    planned = finished_copy.planned()
    assert not rules(planned) & {"learn_weights", "build_pool", "warm_up"}
    folders = [f"results/small/sums/tiny/{method}/seed0" for method in ("uniform", "scalebio")]
    for rule, file in (
        ("draw_mixture", "mixture.json"),
        ("finetune", "model/provenance.json"),
        ("evaluate", "metrics.json"),
    ):
        made = " ".join(outputs for name, outputs in planned if name == rule)
        assert all(f"{folder}/{file}" in made for folder in folders), rule
    shown = finished_copy.run("-n", "-p")
    # These two and the one that takes its weights from the second.
    assert shown.count('"lisa": null, "lora": null') == 3
    assert shown.count('"trained_on_validation": true') == 3
    assert shown.count('"append_validation": true, "stage": "finetuning"') == 1
    assert shown.count('"append_validation": true, "study"') == 1
    finished_copy.run(*(f"{folder}/mixture.json" for folder in folders))
    pool = {part: records(finished_copy, f"results/small/sums/pool/{part}.parquet") for part in ("validation", "test")}
    for folder in folders:
        assert finished_copy.json(f"{folder}/mixture.json")["validation"]["rows"] == 12
        mixture = records(finished_copy, f"{folder}/mixture.parquet")
        assert len(mixture) == 64 + 12 and set(pool["validation"]) <= set(mixture)
        assert not set(pool["test"]) & set(mixture)


def records(clone: Clone, path: str) -> list[tuple]:
    """Source and row number of each row of a file."""
    return list(pd.read_parquet(clone.path / path)[["source", "row"]].itertuples(index=False, name=None))


def test_a_changed_source_file_is_read_again(finished_copy):
    with open(finished_copy.path / "data/brought.jsonl", "a", encoding="utf-8") as file:
        file.write('{"prompt": "Und nach 99?", "response": "100"}\n')
    jobs = finished_copy.planned()
    fetched = [outputs for rule, outputs in jobs if rule == "fetch_source"]
    assert len(fetched) == 1 and "brought.parquet" in fetched[0]
    assert {"build_pool", "warm_up", "learn_weights"} <= rules(jobs)


def made_for(jobs: list[tuple[str, str]], rule: str) -> set[str]:
    """Which experiments, or sources, the jobs of a rule are for."""
    place = {"fetch_source": r"sources/(\w+)\.parquet"}.get(rule, r"results/small/(\w+)/")
    return {found for name, outputs in jobs if name == rule for found in re.findall(place, outputs)}


def test_one_source_changed_added_or_removed_makes_again_what_depends_on_it(finished_copy):
    def apart(study):
        """Of two experiments that share sources, none waits for the other's weights."""
        del study["experiments"]["transferred"]["weights_from"]

    finished_copy.edit_study(apart)
    assert made_for(finished_copy.planned(), "build_pool") == set()

    def change(study):
        study["sources"]["dates"]["rows"] = 50

    finished_copy.edit_study(change)
    jobs = finished_copy.planned()
    assert made_for(jobs, "fetch_source") == {"dates"} and made_for(jobs, "build_pool") == {"sums", "transferred"}

    def add(study):
        study["sources"]["dates"]["rows"] = 60
        study["sources"]["more_dates"] = study["sources"]["dates"] | {"rows": 40}
        study["experiments"]["sums"]["sources"].append("more_dates")

    finished_copy.edit_study(add)
    jobs = finished_copy.planned()
    assert made_for(jobs, "fetch_source") == {"more_dates"}
    assert {rule: made_for(jobs, rule) for rule in ("build_pool", "warm_up")} == {
        "build_pool": {"sums"},
        "warm_up": {"sums"},
    }
    assert made_for(jobs, "evaluate") == {"sums", "transferred"}  # the second learns its own now

    def remove(study):
        study["experiments"]["sums"]["sources"] = ["sums", "sums_wrong", "brought"]

    finished_copy.edit_study(remove)
    jobs = finished_copy.planned()
    assert "fetch_source" not in rules(jobs)
    assert made_for(jobs, "build_pool") == made_for(jobs, "warm_up") == {"sums"}


def test_learning_can_start_from_the_weights_there_are_and_makes_none_of_them_again(finished_copy):
    def grow(study):
        more = study["sources"]["dates"] | {"rows": 40}
        study["sources"]["more_dates"] = more
        sums = study["experiments"]["sums"]
        grown = {"sources": [*sums["sources"][1:], "more_dates"], "start_from": "sums", "evaluate": []}
        study["experiments"]["grown"] = sums | grown | {"expected": None}
        study["run"].append("grown")

    finished_copy.edit_study(grow)
    jobs = finished_copy.planned()
    assert made_for(jobs, "fetch_source") == {"more_dates"}
    assert {found for rule in ("learn_weights", "finetune", "evaluate") for found in made_for(jobs, rule)} == {"grown"}
    target = "results/small/grown/tiny/scalebio/seed0/weights.json"
    shown = finished_copy.run(target)
    assert "started from results/small/sums/tiny/scalebio/seed0/weights.json" in shown
    made, old = finished_copy.json(target), finished_copy.json(f"{SCALEBIO}/weights.json")
    started = made["started_from"]
    assert (started["added"], started["removed"]) == (["more_dates"], ["sums"])
    assert started["shares"]["more_dates"] == pytest.approx(1 / 4)
    first = started["shares"]["dates"] / started["shares"]["brought"]
    assert first == pytest.approx(old["final"]["dates"] / old["final"]["brought"])
    assert set(made["provenance"]["inputs"]) == {"model", "train", "validation", "start"}


def test_a_gate_that_reports_holds_nothing_up_and_a_fatal_one_that_failed_stops_what_waits_for_it(finished_copy):
    # Two words in a row are shared by almost all of the small study's questions.
    finished_copy.edit_study(lambda study: study.update(gates={"words": 2, "similarity": 0.01}))
    assert {"check_leakage", "table_gates", "report"} <= rules(finished_copy.planned())
    assert not {"warm_up", "learn_weights"} & rules(finished_copy.planned())
    finished_copy.edit_study(lambda study: study["gates"].update(leakage="fatal"))
    before = (finished_copy.path / SCALEBIO / "weights.json").read_bytes()
    failed = finished_copy.snakemake(f"{SCALEBIO}/weights.json")
    assert failed.returncode != 0
    assert "the gate `leakage` failed and is fatal" in failed.stdout and "`gates.leakage: report`" in failed.stdout
    verdict = finished_copy.json("results/small/gates/leakage/sums.json")
    assert verdict["verdict"] == "failed" and verdict["findings"][0]["count"] > 0
    assert (finished_copy.path / SCALEBIO / "weights.json").read_bytes() == before


def test_a_remark_in_the_study_file_triggers_nothing(finished_copy):
    comment(finished_copy, STUDY)
    assert finished_copy.planned() == []


def test_one_figure_is_redrawn_in_ten_seconds_with_the_same_bytes(finished_copy):
    before = finished_copy.results()
    start = processor_seconds()
    shown = finished_copy.run("figure_sums_weights", "-f", cores=1)
    used = processor_seconds() - start
    assert "1 of 1 steps (100%) done" in shown
    assert used <= 10
    changed = {path for path, content in finished_copy.results().items() if before.get(path) != content}
    assert changed <= {"results/small/benchmarks/draw_figure/sums_weights.tsv"}


def test_the_same_study_gives_the_same_bits(finished, finished_copy):
    target = f"{SCALEBIO}/weights.json"
    finished_copy.run(target, "-f", "-q")
    assert (finished_copy.path / target).read_bytes() == (finished.path / target).read_bytes()
    once, again = (pd.read_parquet(clone.path / SCALEBIO / "trajectory.parquet") for clone in (finished, finished_copy))
    measured = ("seconds", "peak_memory_gb")
    pd.testing.assert_frame_equal(
        *(frame[~frame["quantity"].isin(measured)] for frame in (once, again)), check_exact=True
    )
