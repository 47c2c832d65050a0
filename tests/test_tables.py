"""Tables against cases worked by hand, and their Markdown."""

import json
import subprocess
import sys

import made_tables
import numpy as np
import pandas as pd
import pytest
from figures import synthetic
from made_tables import MIXED, trajectory
from test_readable import check_latex

from scalebio.errors import UserError
from scalebio.maths import comparisons as math_comparisons
from scalebio.maths import scores as math_scores
from scalebio.mtbench import comparisons, scores
from scalebio.tables import inputs, readable, runs, summary, tidy
from scalebio.tables.judged import LOADERS
from scalebio.tables.runs import Run

A0, A1 = Run("x", "scalebio", 0), Run("x", "scalebio", 1)
U0, U1 = Run("x", "uniform", 0), Run("x", "uniform", 1)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return made_tables.make_study(tmp_path_factory.mktemp("runs"))


def test_thin_keeps_ends_and_order():
    assert runs.thin([3, 1, 2, 2]) == [1, 2, 3]
    kept = runs.thin(range(1001), 200)
    assert len(kept) == 200 and kept[0] == 0 and kept[-1] == 1000 and kept == sorted(set(kept))


def test_trajectories_hold_weights_only():
    frame = runs.trajectories([(A0, trajectory(2)), (U0, trajectory(0))])
    assert frame.pop("verdict").tolist() == [""] * 4
    assert frame.values.tolist() == [
        ["x", "scalebio", 0, 0, "a", 0.25],
        ["x", "scalebio", 0, 0, "b", 0.75],
        ["x", "scalebio", 0, 1, "a", 0.25],
        ["x", "scalebio", 0, 1, "b", 0.75],
    ]
    long = runs.trajectories([(A0, trajectory(1000))])
    assert long["step"].nunique() == 200 and long["step"].max() == 999 and len(long) == 400


def test_weights_stand_beside_the_planted_truth():
    facts = {"x": {"sources": ["b", "a"], "corruption": {"b": 0.4}, "expected": {"a": 1.0}}}
    frame = runs.weights([(A0, {"weights": {"a": 0.9, "b": 0.1}})], facts)
    assert frame[["source", "weight", "corruption", "expected"]].values.tolist() == [
        ["b", 0.1, 0.4, 0],
        ["a", 0.9, 0, 1],
    ]


def test_the_verdict_of_the_check_and_an_allowed_leak_are_told():
    learned = [
        (A0, {"weights": {"a": 0.9, "b": 0.1}, "check": {"verdict": "confirmed"}}),
        (A1, {"weights": {"a": 0.2, "b": 0.8}, "check": {"verdict": "not confirmed"}}),
        (U0, {"weights": {"a": 0.5, "b": 0.5}}),
    ]
    frame = runs.weights(learned, {"x": {"leakage": "allow"}})
    assert frame["verdict"].tolist() == ["confirmed"] * 2 + ["not confirmed"] * 2 + [""] * 2
    text = summary.weights(frame).markdown()
    assert "1 of 2 confirmed" in text and summary.LEAK_ALLOWED in text
    assert summary.LEAK_ALLOWED not in summary.weights(runs.weights(learned, {"x": {"leakage": "drop"}})).markdown()
    steps = runs.trajectories([(A0, trajectory(1)), (A1, trajectory(1))], learned)
    assert steps["verdict"].tolist() == ["confirmed"] * 2 + ["not confirmed"] * 2


def test_nothing_planted_stays_empty_and_neither_truth_stands_in_for_the_other():
    learned = [(A0, {"weights": {"a": 0.9, "b": 0.1}})]
    bare = runs.weights(learned, {"x": {"corruption": None, "expected": None}})
    assert bare[["corruption", "expected"]].isna().all().all()
    text = summary.weights(bare).markdown()
    assert "planted" not in text and "corruption" not in text and "expected" not in text
    spoiled = runs.weights(learned, {"x": {"corruption": {"b": 1.0}, "expected": None}})
    assert spoiled["corruption"].tolist() == [0, 1] and spoiled["expected"].isna().all()
    expected = runs.weights(learned, {"x": {"corruption": None, "expected": {"a": 1.0}}})
    assert expected["expected"].tolist() == [1, 0] and expected["corruption"].isna().all()


def test_a_source_without_weight_is_named():
    with pytest.raises(UserError, match="x/scalebio/seed0: no weight for source c"):
        runs.weights([(A0, {"weights": {"a": 1.0}})], {"x": {"sources": ["a", "c"]}})


def test_training_curves_tell_stages_apart():
    tuned = pd.DataFrame({"step": [0, 0, 1], "examples": [0, 8, 16], "split": ["validation", "training", "training"]})
    frame = runs.training_curves([(A0, tuned.assign(loss=[3.0, 2.0, 1.0]))], [(A0, trajectory(2))])
    counts = frame.groupby(["stage", "split"]).size().to_dict()
    assert counts == {
        ("finetuning", "training"): 2,
        ("finetuning", "validation"): 1,
        ("reweighting", "L1"): 2,
        ("reweighting", "L2_w"): 2,
        ("reweighting", "L2_u"): 2,
    }
    assert frame[frame["split"] == "training"]["loss"].tolist() == [2.0, 1.0]


def test_test_loss_keeps_missing_accuracy_empty():
    frame = runs.test_loss([(A0, {"test_loss": 1.5, "accuracy": 0.25}), (A1, {"test_loss": 2})])
    assert frame.columns.tolist() == ["experiment", "method", "seed", "test_loss", "accuracy", "trained_on"]
    assert frame["accuracy"].tolist()[0] == 0.25 and np.isnan(frame["accuracy"].tolist()[1])


def test_test_loss_says_where_validation_rows_were_trained_on():
    frames = [runs.test_loss([(A0, {"test_loss": 1, "trained_on_validation": added})]) for added in (True, False)]
    assert [frame["trained_on"].tolist() for frame in frames] == [["validation"], [""]]
    assert [summary.TRAINED_ON_VALIDATION in summary.test_loss(frame).markdown() for frame in frames] == [True, False]


def test_mixtures_keep_every_field():
    frame = runs.mixtures([(A0, {"sources": {"a": MIXED}, "truncated": {"a": 4}})])
    (row,) = frame.to_dict("records")
    assert row == {
        "experiment": "x", "method": "scalebio", "seed": 0, "source": "a", "asked_share": 0.5, "rows": 6,
        "row_share": 0.6, "tokens": 70, "token_share": 0.7, "max_repeats": 2, "available_rows": 3, "capped_rows": 1,
        "truncated": 4,
    }  # fmt: skip
    assert (
        "| `a` | `scalebio` | 0.5000 | 0.6000 | 0.7000 | 6.0 | 1.0 | 4.0 | 3.0 | 2 |"
        in summary.mixtures(frame).markdown()
    )


def test_costs_add_up_by_stage_and_survive_unsampled_jobs():
    def job(seconds, memory):
        return pd.DataFrame({"s": [seconds], "max_rss": [memory], "cpu_time": ["0.5" if memory != "-" else "NA"]})

    frame = runs.costs([("tune", job("1.5", "100.5")), ("eval", job("0.1", "-")), ("tune", job("2.5", "300"))])
    assert frame["stage"].tolist() == ["tune", "eval"] and frame["jobs"].tolist() == [2, 1]
    assert frame["seconds"].tolist() == [4.0, 0.1] and frame["max_memory_mb"].tolist()[0] == 300
    text = summary.costs(frame).markdown()
    assert (
        "| `tune` | 2 | 4.0 | 1.0 | 300 |" in text
        and "| all | 3 | 4.1 | 1.0 | 300 |" in text
        and "| `eval` | 1 | 0.1 | – | – |" in text
    )


def test_summary_of_test_loss_by_hand():
    values = [(U0, 2.0), (U1, 2.2), (A0, 1.0), (A1, 1.1)]
    frame = runs.test_loss([(run, {"test_loss": value}) for run, value in values])
    lines = summary.test_loss(frame).markdown().splitlines()
    # Means 2.1 and 1.05; t(0.975, 1) = 12.7062; differences −1.0 and −1.1: −1.05 ± 12.7062 · 0.05.
    assert "| `uniform` | 2 | 2.1000 | 0.8294 … 3.3706 | 0.2000 | – | – | – | – |" in lines
    assert (
        "| `scalebio` | 2 | 1.0500 | 0.4147 … 1.6853 | 0.1000 | -1.0500 | -1.6853 … -0.4147 | better | yes |" in lines
    )


def test_summary_compares_accuracy_the_other_way_and_names_one_seed():
    frame = runs.test_loss([(U0, {"test_loss": 2, "accuracy": 0.1}), (A0, {"test_loss": 1, "accuracy": 0.5})])
    text = summary.test_loss(frame).markdown()
    assert "## `x`: accuracy" in text
    assert "| `scalebio` | 1 | 0.5000 | – | – | +0.4000 | – | not distinguishable | one seed |" in text


def test_summary_shows_names_literally():
    frame = runs.weights([(A0, {"weights": {"a|b_$x$ <i>": 0.9, "tick`ed": 0.1}})], {})
    text = summary.weights(frame).markdown()
    assert r"| `a\|b_$x$ <i>` |" in text and "| `` tick`ed `` |" in text
    assert readable.as_markdown(readable.name("two\nlines")) == "`two lines`"


def check_forms(shown, label):
    """Both forms have the same cells in the same order, and TeX could read the one."""
    assert shown.markdown().startswith("# ")
    cells = [row for _, body in shown.sections for row in [body.header, *body.rows]]
    assert check_latex(shown.latex(label)) == [[*map(readable.as_latex, row)] for row in cells]
    printed = [line for line in shown.markdown().splitlines() if line.startswith("| ") and not line.startswith("| ---")]
    assert printed == ["| " + " | ".join(map(readable.as_markdown, row)) + " |" for row in cells]


BY_RUN = ["trajectories", "weights", "test_loss", "training_curves", "math", "mtbench", "mixtures"]


@pytest.mark.parametrize("name", BY_RUN)
def test_every_table_from_files(study, name):
    frame = inputs.build(name, study)
    assert set(frame["seed"]) == {0, 1, 2} and not frame.duplicated().any()
    check_forms(summary.render(name, frame), name)


def test_scores_stand_beside_the_method_and_seed_of_their_model(study):
    frame = inputs.build("mtbench", study)
    assert frame.columns.tolist() == [*runs.IDENTITY, *scores.COLUMNS]
    assert set(zip(frame["experiment"], frame["method"], frame["seed"], frame["model"], strict=True)) == {
        (x, method, seed, f"{x}-{method}-seed{seed}")
        for x in ("noise", "plain")
        for method in synthetic.METHODS
        for seed in (0, 1, 2)
    }
    own = tidy.read_csv(study["experiments"]["plain"]["scores"], scores.COLUMNS)
    pd.testing.assert_frame_equal(
        frame[frame["experiment"] == "plain"][scores.COLUMNS].reset_index(drop=True), own, check_dtype=False
    )


def test_differences_and_repeats_of_all_experiments(study):
    frame = inputs.build("mtbench_differences", study)
    assert frame.columns.tolist() == ["experiment", *comparisons.COLUMNS] and set(frame["seed"]) == {
        "all",
        "0",
        "1",
        "2",
    }
    assert set(frame[frame["experiment"] == "plain"]["verdict"]) >= {"unknown: judged once"}
    frame = inputs.build("mtbench_repeats", study)
    assert frame.columns.tolist() == ["experiment", *scores.REPEAT_COLUMNS]
    assert frame.groupby("experiment")["repeats"].max().to_dict() == {"noise": 2, "plain": 1}


def test_the_summaries_of_ratings_name_judge_note_failures_and_verdicts(study):
    shown = {name: summary.render(name, inputs.build(name, study)) for name in LOADERS}
    for name in LOADERS:
        check_forms(shown[name], name)
    text = {name: made.markdown() for name, made in shown.items()}
    for name in LOADERS:
        assert text[name].count(f"judge: `{synthetic.JUDGE}`") == 2 and text[name].count(f"`{synthetic.NOTE}`") == 2
    assert "| experiment | method | `all` | `math` | `writing` |" in text["mtbench"]
    # Ten questions, three seeds, two repeats, two turns; question 3 has no readable rating in turn 2; question 4 is cut.
    (line,) = [row for row in text["mtbench"].splitlines() if row.startswith("| `math` | both | `uniform` |")][:1]
    assert line.endswith("| 114 | 6 | 12 | 3 | 2 |")
    lines = text["mtbench_differences"].splitlines()
    assert any(row.startswith("| `scalebio` − `uniform` | `all` | +") and "| better |" in row for row in lines)
    assert sum(row.startswith("| judge noise | `all` | – | – | 0 | – | unknown: judged once |") for row in lines) == 1
    assert sum(row.startswith("| `scalebio` | 2 |") for row in text["mtbench_repeats"].splitlines()) == 1


def test_tables_of_mathematics_hold_what_the_runs_have_and_sum_up(study):
    frame = inputs.build("math", study)
    assert frame.columns.tolist() == [*runs.IDENTITY, *math_scores.COLUMNS]
    one = frame.query("experiment == 'plain' and method == 'scalebio' and seed == 1")[math_scores.COLUMNS]
    path = next(
        run["math"]
        for run in study["runs"]
        if (run["experiment"], run["method"], run["seed"]) == ("plain", "scalebio", 1)
    )
    pd.testing.assert_frame_equal(one.reset_index(drop=True), tidy.read_csv(path, []), check_dtype=False)
    found = inputs.build("math_differences", study)
    assert found.columns.tolist() == ["experiment", *math_comparisons.COLUMNS]
    assert set(found["experiment"]) == {"noise", "plain"} and set(found["seed"]) == {"all", "0", "1", "2"}
    text = summary.math(frame).markdown()
    beside = frame[(frame["grouping"] == "all") & (frame["experiment"] == "noise") & (frame["method"] == "uniform")]
    means = (100 * beside.groupby("benchmark")["accuracy"].mean()).map("{:.1f}".format)
    assert f"| `noise` | `uniform` | {means['gsm8k']} | {means['math']} |" in text
    lines = text[text.index("## `plain`") :].splitlines()
    whole = frame.query("experiment == 'plain' and method == 'uniform' and benchmark == 'math' and grouping == 'all'")
    start = f"| `math` | `uniform` | {100 * whole['accuracy'].mean():.1f} |"
    (line,) = [line for line in lines if line.startswith(start)]
    assert line.endswith(f"| – | 60 | {whole['unparsed'].sum()} | 0 | 3 |")
    assert any(line.startswith("| `math`, level `1` | `scalebio` |") for line in lines)
    text = summary.math_differences(found).markdown()
    assert text.count("| `gsm8k` | `scalebio` − `uniform` | +") == 2 and "| better |" in text


def test_the_judges_scatter_of_a_mean_over_seeds_by_hand():
    rows = [
        {
            "experiment": "x",
            "method": "m",
            "seed": seed,
            "model": f"m{seed}",
            "category": "all",
            "turn": "both",
            "score": 5.0,
        }
        | {"low": 4.0, "high": 6.0, "n": 10, "failed": 0, "cut": 0, "repeats": 2, "judge_sd": deviation}
        | {"judge": "j", "judge_note": "", "questions": "q", "prompts_sha256": "p"}
        for seed, deviation in enumerate([0.3, 0.4])
    ]
    # The mean of two scores: √(0.3² + 0.4²) / 2 = 0.25.
    assert "| – | 0.25 | 20 | 0 | 0 | 2 | 2 |" in summary.mtbench(pd.DataFrame(rows)).markdown()
    assert "| 4.00 … 6.00 | 0.30 | 10 | 0 | 0 | 1 | 2 |" in summary.mtbench(pd.DataFrame(rows[:1])).markdown()


def test_entry_point_writes_both_files(study, tmp_path, root):
    command = [sys.executable, root / "scripts/make_table.py", "test_loss", "--settings", json.dumps(study)]
    out = ["--csv", tmp_path / "t/test_loss.csv", "--markdown", tmp_path / "t/test_loss.md"]
    subprocess.run([*command, *out, "--latex", tmp_path / "t/test_loss.tex"], check=True)
    frame = tidy.read_csv(tmp_path / "t/test_loss.csv", ["test_loss", "accuracy"])
    pd.testing.assert_frame_equal(frame, inputs.build("test_loss", study), check_dtype=False)
    assert "95 % interval" in (tmp_path / "t/test_loss.md").read_text()
    assert r"95 \% interval" in (tmp_path / "t/test_loss.tex").read_text()
