"""Made-up run files in the shapes of the contract, for the tests of tables and figures only; nothing was measured."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

METHODS = ("uniform", "scalebio")
JUDGE = "offline-reference-judge (not an LLM)"
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
               "token_share": p * (0.8 + 0.4 * rng.random()), "repeats": 1 + int(p > 0.4), "available": 500}
        for name, p in zip(sources, share.tolist(), strict=True)
    }  # fmt: skip
    return {
        **identity,
        "trajectory": str(folder / "trajectory.parquet"),
        "training": str(folder / "training.parquet"),
        "weights": _write(
            folder / "weights.json",
            {"weights": dict(zip(sources, share.tolist(), strict=True))}
            | ({"check": {"verdict": "confirmed" if identity["seed"] else "not confirmed"}} if learning else {}),
        ),
        "metrics": _write(folder / "metrics.json", metrics),
        "mixture": _write(folder / "mixture.json", {"sources": mixture, "truncated": dict.fromkeys(sources, 2)}),
    }


def make_scores(path: Path, categories: list[str], method: str, seed: int) -> str:
    """Write one scores.csv: two turns and both, by category and overall."""
    rng = np.random.default_rng([seed, method == "uniform"])
    rows = []
    for category in ["all", *categories]:
        for turn in ("1", "2", "both"):
            score = float(np.clip(4 + 2 * (method != "uniform") - 0.7 * (turn == "2") + 0.8 * rng.normal(), 1, 10))
            rows.append([category, turn, score, max(1, score - 1.2), min(10, score + 1.2), 10, 0, JUDGE, QUESTIONS])
    columns = ["category", "turn", "score", "low", "high", "n", "failed", "judge", "questions"]
    pd.DataFrame(rows, columns=columns).to_csv(path, index=False)
    return str(path)


def make_study(
    folder: Path, experiments: dict[str, dict], seeds: int = 3, methods: tuple = METHODS, steps: int = 300
) -> dict:
    """Write the runs of a whole study and return the settings for make_table.py.

    `experiments`: name → {"sources", "corruption", "expected", "accuracy": bool, "categories": [...] or none}.
    """
    entries = []
    for experiment, facts in experiments.items():
        sources = facts["sources"]
        truth = facts.get("expected") or {sources[0]: 1.0}
        target = np.array([truth.get(source, 0.0) for source in sources]) + 0.004
        for method in methods:
            for seed in range(seeds):
                where = folder / experiment / method / f"seed{seed}"
                identity = {"experiment": experiment, "model": "tiny", "method": method, "seed": seed}
                run = make_run(where, identity, sources, target, steps, facts.get("accuracy", False))
                if facts.get("categories"):
                    run["scores"] = make_scores(where / "scores.csv", facts["categories"], method, seed)
                entries.append(run)
    kept = ("sources", "corruption", "expected")
    return {"runs": entries, "experiments": {name: {k: f.get(k) for k in kept} for name, f in experiments.items()}}
