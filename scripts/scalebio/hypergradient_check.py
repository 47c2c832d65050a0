"""The check of ScaleBiO's λ gradient as one tidy table: on quadratics in closed form, and on a tiny language model.

Stages of the table: `quadratic`, the penalty gradient's error by α; `loop`, where the three-variable loop ends;
`converged`, the gradient by α on the tiny language model with u and w at their minima; `steps`, the same after so many
steps of the loop with λ held, beside unrolled differentiation.
"""

import copy
import functools

import numpy as np
import pandas as pd
import torch

from scalebio import hypergradient as hg
from scalebio.bilevel import Bilevel, learn, weight_gradient
from scalebio.chat import Example
from scalebio.config import Lisa
from scalebio.config_methods import ScaleBiO
from scalebio.quadratic import Quadratic, SquareLoss
from scalebio.streams import stream
from scalebio.tables.readable import Document, document, of_frame
from scalebio.tiny_language import ROW_LENGTH, Ridged, TinyLanguage

ALPHAS = tuple(10 ** (exponent / 2) for exponent in range(7))
QUADRATIC_SEEDS = tuple(range(8))
LOOP_SEEDS = (0, 5, 6)
LOOP_ALPHA = 10.0
BLOCKS = Lisa(layers=2, interval=25)
# Language model: the ridge makes the lower problem well posed.
RIDGE = 0.3
UNROLLED = (10, 25, 50, 100, 200, 400)
RATE, MOMENTUM = 1e-3, 0.95
LANGUAGE_STEPS = 400


def slope(alphas: list[float], errors: list[float]) -> float:
    """Least-squares slope of log error against log α."""
    return float(np.polyfit(np.log(alphas), np.log(errors), 1)[0])


def at_seed(seed: int, sources: int) -> torch.Tensor:
    """Weights at which gradients are compared: equal ones for seed 0, random ones otherwise; shape [sources]."""
    logits = np.zeros(sources) if seed == 0 else stream(seed, "weights compared").normal(size=sources)
    return torch.softmax(torch.from_numpy(logits), 0)


def compare(found: torch.Tensor, exact: torch.Tensor) -> dict:
    """Cosine and relative error of a gradient."""
    return {"cosine": hg.cosine(found, exact), "relative_error": hg.relative_error(found, exact)}


def quadratic_rows(seed: int) -> list[dict]:
    """Error of the penalty gradient at each α, at equal weights."""
    problem = Quadratic(seed)
    p = at_seed(0, problem.sources)
    exact = problem.hypergradient(p)
    return [
        {"stage": "quadratic", "method": "scalebio", "seed": seed, "alpha": alpha}
        | compare(problem.penalty_gradient(p, alpha), exact)
        for alpha in ALPHAS
    ]


def run_quadratic(
    problem: Quadratic, alpha: float, seed: int, layers: Lisa | None = None, steps: int = 4000
) -> torch.Tensor:
    """Where the loop itself, full batch, ends on a quadratic problem: its weights, shape [sources].

    λ moves four times slower than u and w, which must follow their minima.
    """
    settings = ScaleBiO(
        kind="scalebio",
        steps=steps,
        alpha=alpha,
        learning_rate=0.02,
        weight_learning_rate=0.005,
        per_source=problem.rows,
        validation_batch=problem.rows,
    )
    by_source = [_examples(rows, source) for source, rows in enumerate(problem.by_source)]
    run = Bilevel(
        problem.model(),
        by_source,
        _examples(problem.validation),
        settings,
        seed,
        row_length=1,
        layers=layers,
        loss=SquareLoss,
        collate=lambda examples: torch.stack([torch.from_numpy(example.ids) for example in examples]),
    )
    learn(run)
    return torch.from_numpy(run.weights)


def _examples(rows: torch.Tensor, source: int = 0) -> list[Example]:
    """Rows of a quadratic in the clothes of token sequences, as the loop takes them."""
    return [Example(row.numpy(), np.ones(1, dtype=bool), source) for row in rows]


def loop_rows(seed: int) -> list[dict]:
    """Largest distance of a final weight of the loop from p*, and from the minimum of the penalty problem at its α."""
    problem = Quadratic(seed)
    best, best_at_alpha = problem.best(), problem.best(LOOP_ALPHA)
    rows = []
    for method, layers in (("full", None), ("random blocks", BLOCKS)):
        found = run_quadratic(problem, LOOP_ALPHA, seed, layers)
        rows.append(
            {
                "stage": "loop",
                "method": method,
                "seed": seed,
                "alpha": LOOP_ALPHA,
                "to_best": (found - best).abs().max().item(),
                "to_best_at_alpha": (found - best_at_alpha).abs().max().item(),
                "bias": (best - best_at_alpha).abs().max().item(),
            }
        )
    return rows


def converged_rows(problem: hg.Problem, p: torch.Tensor, u: torch.Tensor, exact: torch.Tensor, seed: int) -> list[dict]:
    """The gradient at each α with u and w at their minima; from large α to small, each w starting at the one before."""
    rows, w = [], u
    for alpha in reversed(ALPHAS):
        w = hg.pulled(problem, p, alpha, w)
        found = hg.penalty(problem, p, alpha, u, w)
        rows.append({"stage": "converged", "method": "scalebio", "seed": seed, "alpha": alpha} | compare(found, exact))
    return rows


def run_language(losses: TinyLanguage, alpha: float, steps: int) -> list[torch.Tensor]:
    """The λ gradient that the loop sees at each step on the tiny language model, λ held at zero; each of shape [sources]."""
    settings = ScaleBiO(
        kind="scalebio",
        steps=steps,
        alpha=alpha,
        learning_rate=3e-3,
        # The schema wants it positive; this moves no weight by more than rounding.
        weight_learning_rate=1e-12,
        per_source=losses.rows,
        validation_batch=len(losses.validation),
        ramp=10,
    )
    loss = functools.partial(Ridged, ridge=RIDGE, trained=losses.sources * losses.rows)
    model = copy.deepcopy(losses.model())
    run = Bilevel(model, losses.by_source, losses.validation, settings, 0, ROW_LENGTH, loss=loss)
    return [weight_gradient(torch.from_numpy(s.weights), torch.from_numpy(s.gap), alpha) for s in learn(run)]


def steps_rows(losses: TinyLanguage, problem: hg.Problem, exact: torch.Tensor, seed: int) -> list[dict]:
    """Unrolled differentiation after T steps, and the loop's gradient after T steps at two α; at equal weights."""
    p = at_seed(0, losses.sources)
    rows = []
    for count, (_, found) in hg.unrolled(problem, p, list(UNROLLED), RATE, MOMENTUM).items():
        rows.append({"stage": "steps", "method": "unrolled", "seed": seed, "steps": count} | compare(found, exact))
    for alpha in (10.0, 100.0):
        for step, found in enumerate(run_language(losses, alpha, LANGUAGE_STEPS)):
            # At step 0 u = w: no gradient yet.
            if step:
                row = {"stage": "steps", "method": "loop", "seed": seed, "alpha": alpha, "steps": step}
                rows.append(row | compare(found, exact))
    return rows


def check(seeds: list[int]) -> pd.DataFrame:
    """The whole table; the tiny language model at the given seeds, steps at the first of them, which must be 0."""
    rows = [row for seed in QUADRATIC_SEEDS for row in quadratic_rows(seed)]
    rows += [row for seed in LOOP_SEEDS for row in loop_rows(seed)]
    for seed in seeds:
        losses = TinyLanguage(seed)
        problem = hg.Problem(losses, RIDGE)
        p = at_seed(seed, losses.sources)
        u = hg.trained(problem, p)
        exact = hg.implicit(problem, p, u)
        rows += converged_rows(problem, p, u, exact, seed)
        if seed == 0:
            rows += steps_rows(losses, problem, exact, seed)
    columns = ["stage", "method", "seed", "alpha", "steps", "cosine", "relative_error"]
    return pd.DataFrame(rows, columns=[*columns, "to_best", "to_best_at_alpha", "bias"]).astype({"steps": "Int64"})


def summary(table: pd.DataFrame) -> Document:
    """The table's message."""
    quadratic = table[table["stage"] == "quadratic"]
    slopes = [slope(rows["alpha"].tolist(), rows["relative_error"].tolist()) for _, rows in quadratic.groupby("seed")]
    converged = table[table["stage"] == "converged"].groupby("alpha")[["cosine", "relative_error"]]
    worst = pd.DataFrame({"cosine": converged.min()["cosine"], "relative_error": converged.max()["relative_error"]})
    steps = table[(table["stage"] == "steps") & table["steps"].isin([*UNROLLED, LANGUAGE_STEPS - 1])]
    loop = table[table["stage"] == "loop"]
    seeds = table[table["stage"] == "converged"]["seed"].nunique()
    return document(
        "Is the λ gradient right?",
        f"Quadratics, {len(slopes)} seeds: slope of log error against log α over α = 1…1000 between "
        f"{min(slopes):.3f} and {max(slopes):.3f} (theory: −1).",
        [
            (
                "Where the loop ends, as the largest distance of one weight",
                of_frame(loop[["method", "seed", "alpha", "to_best_at_alpha", "to_best", "bias"]]),
            ),
            (
                f"Tiny language model, u and w at their minima, worst of {seeds} seeds",
                of_frame(worst.assign(one_minus_cosine=1 - worst["cosine"]).reset_index()),
            ),
            ("After so many steps", of_frame(steps[["method", "alpha", "steps", "cosine", "relative_error"]])),
        ],
    )
