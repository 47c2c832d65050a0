"""Verdicts on hand-made tables where they are known."""

import re

import numpy as np
import pandas as pd
import pytest

from scalebio.claims import NOT_REPRODUCED, REPRODUCED, UNDECIDED, judging, listing, measures, page
from scalebio.mtbench.reference_judge import LABEL
from scalebio.tables import comparison, transfer
from scalebio.tables.runs import Run

SEEDS = range(4)
COST = {"forward_tokens": 0, "backward_tokens": 0}
MIXTURE = {"sources": {"a": {"tokens": 1}}}
FACTS = {"model": "small", "methods": ["uniform", "scalebio", "less"], "rivals": ["less"]}
EXPERIMENTS = {"x": FACTS | {"weights_from": None}, "y": FACTS | {"model": "large", "weights_from": None}}
EXPERIMENTS["taken"] = FACTS | {
    "model": "large",
    "methods": ["scalebio"],
    "rivals": [],
    "weights_from": "x",
}


def around(mean, spread, seeds=SEEDS):
    """One value a seed with that mean exactly, alternately below and above it."""
    return {seed: mean + spread * (-1) ** seed for seed in seeds}


def judged(test, experiment="x", experiments=EXPERIMENTS, tables=(), tmp_path=None):
    """Rows of one test of a claim about experiment `experiment` of the study `s`, on tables given as frames."""
    paths = {}
    for name, frame in dict(tables).items():
        paths[name] = str(tmp_path / f"{name}.csv")
        frame.to_csv(paths[name], index=False)
    common = {"scale": "small", "experiments": [f"s/{experiment}"], "needs": "another study"}
    claim = {"id": "c", "statement": "it | is", "where": "somewhere", "known": "by heart", "tests": [common | test]}
    frame = judging.rows([listing.Claim.model_validate(claim)], measures.Study("s", experiments, paths))
    assert list(frame.columns) == page.COLUMNS
    lines = [line for line in page.page(frame).markdown().splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {5, 10}
    return frame


def below(limit):
    return {"band": {"below": limit, "words": "low"}}


def above(limit):
    return {"band": {"above": limit, "words": "high"}}


# --- every kind of test, on tables whose verdict is known ---------------------------------------------------------


def weights_table(shares, experiment="x"):
    """Weights of sources a (spoiled), b (irrelevant), c, d by seed; `shares`: seed → weight of a and of b, each."""
    rows = [
        (experiment, "scalebio", seed, name, weight, corruption, expected, "", "drop")
        for seed, part in shares.items()
        for name, weight, corruption, expected in (
            ("a", part, 1.0, 0.0),
            ("b", part, 0.0, 0.0),
            ("c", 0.6 - part, 0.0, 0.6),
            ("d", 0.4 - part, 0.0, 0.4),
        )
    ]
    columns = ["experiment", "method", "seed", "source", "weight", "corruption", "expected", "verdict", "leakage"]
    return pd.DataFrame(rows, columns=columns)


@pytest.mark.parametrize("sources", ["spoiled", "irrelevant", ["a"]])
@pytest.mark.parametrize(
    ("shares", "verdict"),
    [
        (around(0.01, 0.001), REPRODUCED),
        (around(0.1, 0.01), NOT_REPRODUCED),
        (around(0.025, 0.01), UNDECIDED),
        ({0: 0.01}, UNDECIDED),
    ],
)
def test_share(sources, shares, verdict, tmp_path):
    found = judged(
        {"kind": "share", "sources": sources} | below(0.1), tables={"weights": weights_table(shares)}, tmp_path=tmp_path
    )
    assert found["verdict"].tolist() == [verdict]
    # One of four sources: equal weights give it a quarter.
    assert found["our_value"].item() == pytest.approx(np.mean([*shares.values()]) * 4)
    assert found["low"].isna().item() == (len(shares) == 1)


def losses(**by_run):
    """Table test_loss; `by_run`: experiment__method → seed → loss."""
    rows = [
        (*name.split("__"), seed, loss, np.nan, "") for name, values in by_run.items() for seed, loss in values.items()
    ]
    return pd.DataFrame(rows, columns=["experiment", "method", "seed", "test_loss", "accuracy", "trained_on"])


def compared(frame):
    """Table method_comparison of the same runs, by the code that makes it."""
    runs = [(Run(row.experiment, row.method, row.seed), {"test_loss": row.test_loss}) for row in frame.itertuples()]
    weights = [(run, {"weights": {"a": 1.0}, "cost": COST}) for run, _ in runs]
    facts = {name: {"baseline": "uniform", "oracle": None, "expected": None} for name in frame["experiment"].unique()}
    return comparison.table(weights, runs, [(run, MIXTURE) for run, _ in runs], facts, 1)


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        (around(0.1, 0.01), REPRODUCED),
        (around(-0.1, 0.01), NOT_REPRODUCED),
        (around(0.01, 0.1), UNDECIDED),
        ({0: 0.5}, UNDECIDED),
    ],
)
def test_gain(gains, verdict, tmp_path):
    frame = losses(x__uniform=dict.fromkeys(SEEDS, 2.0), x__scalebio={seed: 2 - gain for seed, gain in gains.items()})
    found = judged({"kind": "gain"} | below(0), tables={"method_comparison": compared(frame)}, tmp_path=tmp_path)
    assert found["verdict"].tolist() == [verdict]
    assert found["our_value"].item() == pytest.approx(-np.mean([*gains.values()]))


def test_baselines_are_compared_one_by_one(tmp_path):
    experiments = {"x": FACTS | {"rivals": ["less", "worse", "alike", "once"], "weights_from": None}}
    experiments["x"]["methods"] = ["uniform", "scalebio", *experiments["x"]["rivals"]]
    frame = losses(
        x__scalebio=around(1.0, 0.01),
        x__less={seed: 0.5 + 0.001 * seed for seed in SEEDS},
        x__worse={seed: 1.5 + 0.001 * seed for seed in SEEDS},
        x__alike={0: 0.9, 1: 1.1, 2: 1.1, 3: 0.9},
        x__once={0: 3.0},
    )
    found = judged(
        {"kind": "baselines"} | below(0), experiments=experiments, tables={"test_loss": frame}, tmp_path=tmp_path
    )
    assert dict(zip(found["against"], found["verdict"], strict=True)) == {
        "less": NOT_REPRODUCED,
        "worse": REPRODUCED,
        "alike": UNDECIDED,
        "once": UNDECIDED,
    }
    assert all("Holm's correction over 4" in why for why in found["why"])


@pytest.mark.parametrize(("lost", "verdict"), [(0.01, REPRODUCED), (0.2, NOT_REPRODUCED), (0.05, UNDECIDED)])
def test_what_another_experiment_gains_is_the_measure_of_what_is_lost(lost, verdict, tmp_path):
    frame = losses(
        x__scalebio={seed: 1.8 + loss for seed, loss in around(lost, 0.01).items()},
        y__scalebio=dict.fromkeys(SEEDS, 1.8),
        y__uniform=dict.fromkeys(SEEDS, 2.0),
    )
    tables = {"test_loss": frame, "method_comparison": compared(frame[frame["experiment"] == "y"])}
    test = {"kind": "pair", "other": "y", "as_share_of_gain": True} | below(0.25)
    found = judged(test, tables=tables, tmp_path=tmp_path)
    assert found["verdict"].tolist() == [verdict] and found["our_value"].item() == pytest.approx(lost / 0.2)
    weights = [(Run(name, "scalebio", seed), {"weights": {"a": 1.0}}) for name in ("x", "y") for seed in SEEDS]
    metrics = [
        (Run("taken" if row.experiment == "x" else "y", "scalebio", row.seed), {"test_loss": row.test_loss})
        for row in frame[frame["method"] == "scalebio"].itertuples()
    ]
    pair = {
        "from": "x",
        "model": "small",
        "for_model": "large",
        "methods": ["scalebio"],
        "own": "y",
        "transferred": "taken",
    }
    tables["transfer"] = transfer.table(weights, metrics, [pair])
    found = judged({"kind": "regret", "own": "y"} | below(0.25), "taken", tables=tables, tmp_path=tmp_path)
    assert found["verdict"].tolist() == [verdict] and found["our_value"].item() == pytest.approx(lost / 0.2)


def test_without_a_sure_gain_there_is_no_share_of_it(tmp_path):
    frame = losses(x__scalebio=around(1.8, 0), y__scalebio=around(1.99, 0.1), y__uniform=dict.fromkeys(SEEDS, 2.0))
    tables = {"test_loss": frame, "method_comparison": compared(frame[frame["experiment"] == "y"])}
    test = {"kind": "pair", "other": "y"}
    found = judged(test | {"as_share_of_gain": True} | below(0.25), tables=tables, tmp_path=tmp_path)
    assert found["verdict"].tolist() == [UNDECIDED] and "no gain over equal weights is sure" in found["why"].item()
    found = judged(test | {"other_method": "uniform"} | below(0), tables=tables, tmp_path=tmp_path)
    assert found["verdict"].tolist() == [REPRODUCED] and found["against"].tolist() == ["uniform in y"]


@pytest.mark.parametrize(
    ("shares", "verdict"),
    [
        (around(0.3, 0.01), REPRODUCED),
        (around(0.02, 0.01), NOT_REPRODUCED),
        (around(0.06, 0.05), UNDECIDED),
        ({0: 0.3, 1: 0.3}, UNDECIDED),
    ],
)
def test_weights_of_two_models(shares, verdict, tmp_path):
    tables = {"weights": pd.concat([weights_table(around(0.01, 0.005)), weights_table(shares, "y")])}
    found = judged({"kind": "differ", "other": "y"} | above(0.1), tables=tables, tmp_path=tmp_path)
    assert found["verdict"].tolist() == [verdict]


@pytest.mark.parametrize(("own", "verdict"), [(0.5, REPRODUCED), (0.95, NOT_REPRODUCED)])
def test_computed_memory(own, verdict, tmp_path):
    rows = [
        ("small", "weights", "full", "", 9e9),
        ("small", "weights", "LISA", "yes", own * 1e9),
        ("small", "finetuning", "LISA", "yes", 9e9),
    ]
    rows += [("large", "weights", "full", "yes", 1e9)]
    frame = pd.DataFrame(rows, columns=["model", "job", "trains", "own", "total"])
    test = {"kind": "memory", "other": "y", "how": "held"} | below(0.9)
    found = judged(test, tables={"memory": frame}, tmp_path=tmp_path)
    assert found["verdict"].tolist() == [verdict] and found["our_value"].tolist() == [own]
    assert "LISA against full" in found["why"].iloc[0]


@pytest.mark.parametrize(
    ("own", "verdict"),
    [
        (around(0.7, 0.01), REPRODUCED),
        (around(0.98, 0.01), NOT_REPRODUCED),
        (around(0.9, 0.05), UNDECIDED),
        ({0: 0.5}, UNDECIDED),
    ],
)
def test_measured_memory(own, verdict, tmp_path):
    rows = [
        (experiment, "scalebio", seed, size)
        for experiment, sizes in (("x", own), ("y", dict.fromkeys(own, 1.0)))
        for seed, size in sizes.items()
    ]
    frame = pd.DataFrame(rows, columns=["experiment", "method", "seed", "peak_gb"])
    test = {"kind": "memory", "other": "y", "how": "peak"} | below(0.9)
    assert judged(test, tables={"peak_memory": frame}, tmp_path=tmp_path)["verdict"].tolist() == [verdict]


def rated(judge="gpt-4-0613", questions="MT-Bench 80", low=0.4):
    labels = {"judge": judge, "judge_note": "", "questions": questions}
    difference = {"comparison": "method", "method": "scalebio", "baseline": "uniform", "seed": "all", "turn": "both"}
    difference |= {"experiment": "x", "category": "all", "difference": 1.0, "low": low, "high": 1.6, "n": 80}
    scores = [
        {"experiment": "x", "method": method, "seed": seed, "category": "all", "turn": "both", "score": score} | labels
        for method, by_seed in (("scalebio", around(7, 0.05)), ("less", around(6, 0)))
        for seed, score in by_seed.items()
    ]
    other = {"seed": "0", "difference": -9.0}
    return {
        "mtbench_differences": pd.DataFrame([difference | other | labels, difference | labels]),
        "mtbench": pd.DataFrame(scores),
    }


@pytest.mark.parametrize(("low", "verdict"), [(0.6, REPRODUCED), (0.4, UNDECIDED)])
def test_mtbench(low, verdict, tmp_path):
    tables = rated(low=low)
    found = judged({"kind": "benchmark", "benchmark": "mtbench"} | above(0.505), tables=tables, tmp_path=tmp_path)
    assert found["verdict"].tolist() == [verdict] and found["our_value"].tolist() == [1.0]
    test = {"kind": "baselines", "measure": "mtbench", "against": ["less"]} | above(0)
    assert judged(test, tables=tables, tmp_path=tmp_path)["verdict"].tolist() == [REPRODUCED]


@pytest.mark.parametrize(
    ("tables", "needs"),
    [
        (rated(judge=LABEL), "a language model as judge; this one is a stated rule"),
        (
            rated(questions="own test set, MT-Bench format"),
            "MT-Bench's own 80 questions; these are made from test rows",
        ),
    ],
)
def test_a_rule_is_no_judge_and_own_questions_are_no_mtbench(tables, needs, tmp_path):
    for test in ({"kind": "benchmark", "benchmark": "mtbench"}, {"kind": "baselines", "measure": "mtbench"}):
        found = judged(test | above(0), tables=tables, tmp_path=tmp_path)
        assert found["verdict"].tolist() == [f"not run: needs {needs}"]


def test_mathematics_is_in_percentage_points(tmp_path):
    row = {"experiment": "x", "benchmark": "gsm8k", "grouping": "all", "group": "all", "method": "scalebio"}
    row |= {"baseline": "uniform", "seed": "all", "difference": 0.09, "low": 0.06, "high": 0.12, "verdict": "better"}
    tables = {"math_differences": pd.DataFrame([row, row | {"grouping": "level", "difference": 0.5}])}
    found = judged({"kind": "benchmark", "benchmark": "gsm8k"} | above(4.5), tables=tables, tmp_path=tmp_path)
    assert found["verdict"].tolist() == [REPRODUCED]
    assert found[["our_value", "low", "high"]].values.tolist() == [pytest.approx([9, 6, 12])]
    found = judged({"kind": "benchmark", "benchmark": "math"} | above(2.9), tables=tables, tmp_path=tmp_path)
    assert found["verdict"].tolist() == ["not run: needs math with scalebio and equal weights in experiment x"]


def test_a_run_that_reached_its_end_is_counted(tmp_path):
    tables = {"weights": weights_table({0: 0.1, 1: 0.1})}
    found = judged({"kind": "finished"} | above(0), tables=tables, tmp_path=tmp_path)
    assert found[["our_value", "verdict"]].values.tolist() == [[2, REPRODUCED]]


@pytest.mark.parametrize(
    ("hub", "verdict"),
    [
        ("owner/large", REPRODUCED),
        ("owner/small", "not run: needs the paper's model in experiment x, which has owner/small"),
        (None, "not run: needs the paper's model in experiment x, which has one of its own"),
    ],
)
def test_at_the_papers_scale_another_model_shows_nothing(hub, verdict, tmp_path):
    tables = {"weights": weights_table({0: 0.1, 1: 0.1})}
    test = {"kind": "finished", "scale": "paper", "hub": {"s/x": "owner/large"}} | above(0)
    found = judged(test, experiments={"x": EXPERIMENTS["x"] | {"hub": hub}}, tables=tables, tmp_path=tmp_path)
    assert found["verdict"].tolist() == [verdict]


# --- what is not there --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("test", "experiment", "needs", "see"),
    [
        ({"kind": "gain"}, "elsewhere", "another study", ""),
        ({"kind": "gain"}, "x", "the table method_comparison", "see another study"),
        ({"kind": "gain", "method": "regmix"}, "x", "method regmix in experiment x", "see another study"),
        ({"kind": "pair", "other": "z"}, "x", "experiment z", "see another study"),
        ({"kind": "baselines", "against": ["doge"]}, "x", "method doge in experiment x", "see another study"),
        ({"kind": "share", "sources": ["q"]}, "x", "sources q in experiment x", "see another study"),
    ],
)
def test_what_was_not_run_says_what_it_needs(test, experiment, needs, see, tmp_path):
    tables = {"weights": weights_table({0: 0.1})}
    found = judged(test | below(0), experiment, tables=tables, tmp_path=tmp_path)
    assert found["verdict"].item().startswith(f"not run: needs {needs}") and found["why"].item() == see
    assert found[["our_value", "low", "high"]].isna().all(axis=None)
