"""Made-up run files in the shapes of the contract, for the tests of tables and figures only; nothing was measured."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from scalebio.maths import comparisons as math_comparisons
from scalebio.maths import scores as math_scores
from scalebio.mtbench import comparisons, scores

METHODS = ("uniform", "scalebio")
JUDGE = "offline-reference-judge (not an LLM)"
NOTE = "gpt-4 has no date in its id"
QUESTIONS = "made from the experiment's test rows"


def _write(path: Path, value: dict) -> str:
    path.write_text(json.dumps(value))
    return str(path)


def make_run(folder: Path, identity: dict, sources: list[str], target: np.ndarray, steps: int, accuracy: bool) -> dict:
    """Write every file of one run and return its entry for the settings of make_table.py."""
    folder.mkdir(parents=True)
    learning = identity["method"] != "uniform"
    rng = np.random.default_rng([identity["seed"], len(sources), learning])
    share = np.full(len(sources), 1 / len(sources))
    rows = []
    for step in range(steps if learning else 0):
        progress = 1 / (1 + np.exp(-(step - steps * (0.35 + 0.04 * identity["seed"])) / (steps * 0.07)))
        share = (1 - progress) / len(sources) + progress * target
        share = share * np.exp(0.08 * rng.standard_normal(len(sources)) * progress)
        share = share / share.sum()
        rows += [(step, name, "weight", p) for name, p in zip(sources, share, strict=True)]
        falling = 2 + 2 * np.exp(-4 * step / steps) + 0.05 * rng.standard_normal()
        rows += [(step, None, q, falling + d) for q, d in (("L1", 0.1), ("L2_w", 0.3), ("L2_u", 0.2), ("seconds", 0))]
    trajectory = pd.DataFrame(rows, columns=["step", "source", "quantity", "value"])
    trajectory.to_parquet(folder / "trajectory.parquet")

    floor = 1.9 - 0.25 * learning
    decay = np.exp(-5 * np.arange(300) / 300)
    training = pd.DataFrame(
        {"step": range(300), "split": "training", "loss": floor + 2 * decay + 0.1 * rng.normal(size=300)}
    )
    validation = pd.DataFrame({"step": range(0, 300, 25), "split": "validation"})
    validation["loss"] = floor + 0.2 + 2 * decay[::25] + 0.02 * rng.normal(size=len(validation))
    pd.concat([training, validation]).to_parquet(folder / "training.parquet")

    metrics = {"test_loss": floor + 0.03 * rng.normal(), "accuracy": None}
    if accuracy:
        metrics["accuracy"] = float(np.clip(0.3 + 0.3 * learning + 0.04 * rng.normal(), 0, 1))
    mixture = {
        name: {"asked": p, "rows": round(1000 * p), "share": round(1000 * p) / 1000, "tokens": round(50000 * p * 1.1),
               "token_share": p * (0.8 + 0.4 * rng.random()), "repeats": 1 + int(p > 0.4), "available": 500,
               "capped": 40 * int(p > 0.4)}
        for name, p in zip(sources, share.tolist(), strict=True)
    }  # fmt: skip
    return {
        **identity,
        "trajectory": str(folder / "trajectory.parquet"),
        "training": str(folder / "training.parquet"),
        "weights": _write(
            folder / "weights.json",
            {"weights": dict(zip(sources, share.tolist(), strict=True))}
            | {"cost": {"forward_tokens": 40_000 * learning, "backward_tokens": 30_000 * learning}}
            | ({"check": {"verdict": "confirmed" if identity["seed"] else "not confirmed"}} if learning else {}),
        ),
        "metrics": _write(folder / "metrics.json", metrics),
        "mixture": _write(folder / "mixture.json", {"sources": mixture, "truncated": dict.fromkeys(sources, 2)}),
    }


def make_judgments(path: Path, experiment: str, runs: list[dict], categories: list[str], repeats: int) -> dict:
    """Write the judgments of an experiment and what is made from them; its entry for the settings of make_table.py."""
    rng = np.random.default_rng([len(runs), len(categories)])
    count = 10 * len(categories)
    hard = rng.normal(5, 1.5, size=count)
    rows, judged = [], []
    for number, run in enumerate(runs):
        model = f"{experiment}-{run['method']}-seed{run['seed']}"
        judged.append(scores.Judged(model, run["method"], run["seed"]))
        heart = hard + 1.2 * (run["method"] != "uniform") + 0.3 * number + rng.normal(0, 1, size=count)
        for repeat in range(1, repeats + 1):
            for question in range(count):
                for turn in (1, 2):
                    rating = int(np.clip(round(heart[question] - 0.7 * turn + rng.normal(0, 0.8)), 1, 10))
                    unreadable, cut = question == 3 and turn == 2, question == 4
                    rows.append(
                        {"question_id": question, "turn": turn, "model": model, "repeat": repeat, "judge": [JUDGE, "p"],
                         "score": -1 if unreadable else rating, "category": categories[question // 10], "cut": 90 * cut,
                         "judge_note": NOTE, "questions": QUESTIONS, "prompts_sha256": "p"}
                    )  # fmt: skip
    path.mkdir(parents=True, exist_ok=True)
    (path / "judgments.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    scores.table(rows, 0).to_csv(path / "scores.csv", index=False)
    comparisons.table(rows, judged, judged[0].method, 0).to_csv(path / "differences.csv", index=False)
    files = {"scores": "scores.csv", "differences": "differences.csv", "judgments": "judgments.jsonl"}
    return {"runs": [run._asdict() for run in judged]} | {kind: str(path / name) for kind, name in files.items()}


def make_graded(path: Path, runs: list[dict]) -> dict:
    """Write graded answers to 60 questions of each benchmark for every run, and what is made from them.

    Returns the entry of the experiment for the settings of make_table.py; `math` is added to those of the runs.
    """
    hard = np.random.default_rng(len(runs)).uniform(size=(2, 60))
    graded = []
    for run in runs:
        rng = np.random.default_rng([run["seed"], run["method"] == "uniform", 7])
        skill = 0.35 + 0.25 * (run["method"] != "uniform")
        right = hard + 0.2 * rng.normal(size=hard.shape) < skill
        problems = np.where((hard > 0.9) & ~right, "no final answer", "")
        rows = [
            {"benchmark": name, "id": i, "subject": "Algebra Geometry".split()[i % 2] if line else "",
             "level": str(1 + i % 3) if line else "", "gold": "1", "extracted": "1", "correct": bool(right[line, i]),
             "problem": str(problems[line, i]), "shortened": False}
            for line, name in enumerate(("gsm8k", "math")) for i in range(60)
        ]  # fmt: skip
        graded.append((run["method"], run["seed"], rows))
        run["math"] = str(path / f"{run['method']}-seed{run['seed']}.csv")
        path.mkdir(parents=True, exist_ok=True)
        math_scores.table(rows).to_csv(run["math"], index=False)
    math_comparisons.table(graded, runs[0]["method"]).to_csv(path / "differences.csv", index=False)
    return {"math_differences": str(path / "differences.csv")}


def make_variations(experiments: dict, methods: tuple) -> list[dict]:
    """As if the methods were values of two settings, the first the centre of both."""
    return [
        {"experiment": experiment, "method": methods[0], "varied": varied, "value": str(10**place), "centre": not place}
        | {"run": {"experiment": experiment, "method": method}}
        for experiment in experiments
        for varied in ("alpha", "lisa: layers")
        for place, method in enumerate(methods)
    ]


def make_groups(experiments: dict, methods: tuple) -> list[list[dict]]:
    """As if the methods were models."""
    names = ["model 0", *(f"model_{place}" for place in range(1, len(methods)))]
    return [
        [{"experiment": one, "model": name, "method": method} for name, method in zip(names, methods, strict=True)]
        for one in experiments
    ]


def make_study(
    folder: Path, experiments: dict[str, dict], seeds: int = 3, methods: tuple = METHODS, steps: int = 300
) -> dict:
    """Write the runs of a whole study and return the settings for make_table.py.

    `experiments`: name → {"sources", "corruption", "expected", "accuracy": bool, "categories": [...] or none, and
    "repeats" of the judge}.
    """
    entries, kept = [], ("sources", "corruption", "expected")
    facts_of = {
        name: {key: facts.get(key) for key in kept}
        | {"baseline": methods[0], "oracle": None, "rows": 1000, "validation_bootstrap": False}
        for name, facts in experiments.items()
    }
    for experiment, facts in experiments.items():
        sources = facts["sources"]
        truth = facts.get("expected") or {sources[0]: 1.0}
        target = np.array([truth.get(source, 0.0) for source in sources]) + 0.004
        for method in methods:
            for seed in range(seeds):
                where = folder / experiment / method / f"seed{seed}"
                identity = {"experiment": experiment, "model": "tiny", "method": method, "seed": seed}
                run = make_run(where, identity, sources, target, steps, facts.get("accuracy", False))
                entries.append(run)
        own = [run for run in entries if run["experiment"] == experiment]
        facts_of[experiment] |= make_graded(folder / experiment / "math", own)
        if facts.get("categories"):
            where = folder / experiment / "mtbench"
            facts_of[experiment] |= make_judgments(where, experiment, own, facts["categories"], facts.get("repeats", 1))
    return {"runs": entries, "experiments": facts_of, "epochs": 1}
