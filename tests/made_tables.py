"""What tests of tables are made from: a made-up study with files of every kind, a trajectory, a source's mixture."""

import pandas as pd
from figures import synthetic

MIXED = {
    "asked": 0.5,
    "rows": 6,
    "share": 0.6,
    "tokens": 70,
    "token_share": 0.7,
    "repeats": 2,
    "available": 3,
    "capped": 1,
}


def make_study(folder) -> dict:
    """Settings of a made-up study with files of every kind."""
    experiments = {
        "noise": {
            "sources": ["a", "b"],
            "corruption": {"b": 0.5},
            "accuracy": True,
            "categories": ["math", "writing"],
            "repeats": 2,
        },
        "plain": {"sources": ["c", "d", "e"], "expected": {"c": 0.7, "d": 0.3}, "categories": ["math"]},
    }
    return synthetic.make_study(folder, experiments, steps=30)


def trajectory(steps):
    rows = [(step, name, "weight", p) for step in range(steps) for name, p in (("a", 0.25), ("b", 0.75))]
    rows += [(step, "a", "gap", 9.0) for step in range(steps)]
    rows += [
        (step, None, quantity, step / 10) for step in range(steps) for quantity in ("L1", "L2_w", "L2_u", "seconds")
    ]
    frame = pd.DataFrame(rows, columns=["step", "source", "quantity", "value"])
    return frame.astype({"source": "string", "quantity": "string"})
