"""The table of the trained grid: regret of every method against the best of the lattice, beside the noise floor."""

import numpy as np
import pandas as pd

from scalebio import grid_regret
from scalebio.tables.readable import MISSING, Document, document, grid, name, number, span, strong

COLUMNS = ["task", "label", "method_seed", "weights", "test_loss", "regret", "regret_low", "regret_high", "share"]
COLUMNS += [
    "share_low",
    "share_high",
    "floor",
    "floor_share",
    "naive_minimum",
    "crossed_minimum",
    "best_loss",
    "points",
]
RUNS = ["task", "seed", "role", "label", "method_seed", "training_seed", "weights", "test_loss"]
BAR = 0.1
# The one setting of the loop that the bar is put to, and the loop as published beside it.
BARRED = ("improved", "published")


def shares(weights: pd.Series) -> np.ndarray:
    """Weights as the table writes them, `0.7 0.3 0 0`, as numbers [rows, sources]."""
    return np.array([[float(share) for share in text.split()] for text in weights])


def lattice(runs: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Points [points, sources] of one task's lattice and their losses [points, seeds], in the order of the seeds."""
    part = runs[runs["role"] == "lattice"]
    losses = part.pivot(index="weights", columns="training_seed", values="test_loss")
    return shares(losses.index), losses.to_numpy()


def table(runs: pd.DataFrame) -> pd.DataFrame:
    """One row a task and method (and seed of it) from the training runs of `planted_grid.measure`.

    `test_loss`: mean over the fresh training seeds; `regret`: in nats, with interval; `share`: of uniform's; `floor`: what two
    means of one mixture differ by from training noise in 95 % of cases; `naive_minimum`, `crossed_minimum`: of the lattice
    (`grid_regret`), beside `best_loss`, that of the chosen point on fresh seeds; `points`: of the lattice.
    """
    rows = []
    for task, part in runs.groupby("task", sort=False):
        fresh = part[part["role"] == "fresh"]
        by_who = {
            who: lines.sort_values("training_seed")["test_loss"].to_numpy()
            for who, lines in fresh.groupby(["label", "method_seed"], sort=False, dropna=False)
        }
        anchors = {label: losses for (label, _), losses in by_who.items() if label in ("grid best", "uniform")}
        best, uniform = anchors["grid best"], anchors["uniform"]
        floor = grid_regret.noise_floor(best, uniform)
        points, losses = lattice(part)
        facts = {"task": task, "floor": floor, "floor_share": floor / (uniform.mean() - best.mean())}
        facts |= {"naive_minimum": grid_regret.naive_minimum(losses), "best_loss": best.mean(), "points": len(points)}
        facts["crossed_minimum"] = grid_regret.crossed_minimum(losses)
        for (label, method_seed), own in by_who.items():
            found = grid_regret.regret(own, best, uniform)
            weights = fresh[
                (fresh["label"] == label) & (fresh["method_seed"].isna() | (fresh["method_seed"] == method_seed))
            ]
            row = {"label": label, "method_seed": method_seed, "weights": weights["weights"].iloc[0]}
            row |= {"test_loss": own.mean(), "regret": found.nats, "regret_low": found.low, "regret_high": found.high}
            row |= {"share": found.share, "share_low": found.share_low, "share_high": found.share_high}
            rows.append(facts | row)
    return pd.DataFrame(rows, columns=COLUMNS).astype({"method_seed": "Int64"})


def verdicts(frame: pd.DataFrame) -> list[str]:
    """For each barred method, on how many tasks its mean regret over seeds is within the bar."""
    lines = []
    for method in BARRED:
        means = frame[frame["label"] == method].groupby("task", sort=False)["share"].mean()
        if len(means):
            told = ", ".join(f"{task} {share:.1%}" for task, share in means.items())
            lines.append(
                f"{method}: regret at most {BAR:.0%} of uniform's on {(means <= BAR).sum()} of {len(means)} tasks ({told})."
            )
    return lines


def readable(frame: pd.DataFrame) -> Document:
    """The bar, then a section a task."""
    sections = []
    for task, part in frame.groupby("task", sort=False):
        first = part.iloc[0]
        rows = [
            [
                row.label,
                MISSING if pd.isna(row.method_seed) else str(row.method_seed),
                row.weights,
                number(row.test_loss),
                number(row.regret, sign=True),
                span(row.regret_low, row.regret_high, sign=True),
                f"{row.share:.1%}",
                f"{row.share_low:.1%} … {row.share_high:.1%}",
            ]
            for row in part.itertuples()
        ]
        header = [
            "method",
            "its seed",
            "weights",
            "test loss",
            "regret",
            "95 % interval",
            "of uniform's",
            "95 % interval",
        ]
        text = (
            f"Noise floor: {first['floor']:.4f} nats, {first['floor_share']:.1%} of uniform's regret. Minimum of {first['points']} points: "
            f"{first['naive_minimum']:.4f} taken as it is, {first['crossed_minimum']:.4f} crossed over, {first['best_loss']:.4f} with "
            "fresh seeds."
        )
        sections.append((name(task), grid(header, rows, text, left=3)))
    explanation = (
        "Regret: test loss (nats per answer token) of the base trained on a method's weights, minus that of the best point of a "
        "trained simplex lattice. The point was chosen on some training seeds, and all losses here are of others, so the luck of "
        "being chosen is not in them; differences are paired by training seed, intervals are Student t over them. Of uniform's: as a "
        "share of the regret of equal weights. Noise floor: what the means of two runs of one mixture differ by in 95 % of cases. "
        + strong(" ".join(verdicts(frame)))
    )
    return document("Regret against a trained grid", explanation, sections)
