"""How well the gradient-match check tells right weights from wrong ones, on planted tasks with right and wrong shares given.

Right: within .05 of the planted shares in total variation. Wrong: at least .12 away. Nothing is learned here, so that the
check is tried on errors of every kind and not only on those that a method happens to make.
"""

from collections.abc import Callable

import numpy as np
from scipy.stats import mannwhitneyu

from scalebio import planted
from scalebio.confirmation import THRESHOLD
from scalebio.planted_runs import check
from scalebio.statistics import total_variation

# task and base → shares to be checked besides the planted ones: one slightly off, then wrong ones (too extreme, too
# flat, junk, the wrong order).
GIVEN = {
    ("conf73", "poor"): [[0.73, 0.27, 0, 0], [0.9, 0.1, 0, 0], [0.5, 0.5, 0, 0], [0.6, 0.2, 0.1, 0.1]],
    ("conf73", "better"): [[0.73, 0.27, 0, 0], [0.9, 0.1, 0, 0], [0.5, 0.5, 0, 0], [0.6, 0.2, 0.1, 0.1]],
    ("pref631", "poor"): [[0.62, 0.29, 0.09, 0], [0.8, 0.2, 0, 0], [0.4, 0.3, 0.2, 0.1], [0.3, 0.6, 0.1, 0]],
    ("denoise5", "poor"): [[0.96, 0.04, 0, 0, 0], [0.7, 0.3, 0, 0, 0], [0.5, 0.2, 0.1, 0.1, 0.1], [0, 1, 0, 0, 0]],
}


def measure(seeds: list[int], progress: Callable[[str], None] = lambda text: None) -> list[dict]:
    """One row for every task, seed and given shares: tv, ratio and verdict."""
    rows = []
    for (name, base), given in GIVEN.items():
        for seed in seeds:
            task = planted.make(name, seed)
            for weights in [task.truth.tolist(), *given]:
                made = check(task, base, np.array(weights), seed)
                facts = {"task": name, "base": base, "seed": seed, "weights": " ".join(f"{w:g}" for w in weights)}
                facts |= {"tv": total_variation(weights, task.truth), "ratio": made.ratio, "verdict": made.verdict}
                rows.append(facts)
                progress(" ".join(map(str, facts.values())))
    return rows


def summary(rows: list[dict]) -> dict:
    """By task and over all: how many right weights were confirmed, how many wrong ones flagged, and the AUC of the ratio.

    The AUC is the chance that a wrong ratio exceeds a right one; an undefined ratio counts as just above the threshold,
    since it is reported as not confirmed.
    """
    groups = {"all": rows}
    for row in rows:
        groups.setdefault(f"{row['task']} {row['base']}", []).append(row)
    result = {}
    for name, part in groups.items():
        right, wrong = (
            [row for row in part if row["tv"] <= 0.05 + 1e-9],
            [row for row in part if row["tv"] >= 0.12 - 1e-9],
        )
        values = [
            [THRESHOLD + 1e-9 if row["ratio"] is None else row["ratio"] for row in group] for group in (wrong, right)
        ]
        result[name] = {
            "right": len(right),
            "right_confirmed": sum(row["verdict"] == "confirmed" for row in right),
            "wrong": len(wrong),
            "wrong_flagged": sum(row["verdict"] != "confirmed" for row in wrong),
            "auc": float(mannwhitneyu(*values).statistic / (len(right) * len(wrong))),
        }
    return result
