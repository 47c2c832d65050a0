"""ScaleBiO as a weighting method: runs `scalebio.bilevel` on the problem and records its trajectory."""

import torch

from scalebio import checkpoints
from scalebio.bilevel import Bilevel, Step, prune
from scalebio.config_methods import ScaleBiO
from scalebio.confirmation import confirm_run
from scalebio.weighting import Outcome, Problem, Spent, weight_rows


class Recorded:
    """The loop with the trajectory of its steps, so that a checkpoint holds both."""

    def __init__(self, bilevel: Bilevel, sources: list[str]):
        self.bilevel, self.sources, self.steps = bilevel, sources, bilevel.settings.steps
        self.rows: list[dict] = []
        self.layers: list[list] = []

    @property
    def done(self) -> int:
        """Steps made."""
        return self.bilevel.done

    def step(self) -> Step:
        """One outer step, recorded."""
        seen = self.bilevel.step()
        self.rows += step_rows(seen, self.sources)
        if seen.layers:
            self.layers.append([seen.step, seen.layers])
        return seen

    def state(self) -> tuple[dict, dict]:
        """As `Bilevel.state`, with the record."""
        tensors, facts = self.bilevel.state()
        return tensors, {"bilevel": facts, "rows": self.rows, "layers": self.layers}

    def load(self, tensors: dict, facts: dict) -> None:
        """Take up a `state`."""
        self.bilevel.load(tensors, facts["bilevel"])
        self.rows, self.layers = facts["rows"], facts["layers"]


def learn(problem: Problem, settings: ScaleBiO, seed: int) -> Outcome:
    """Weights of the last step, pruned if asked.

    Extra: `final` (unpruned), `tail_mean` (mean over the second half of the steps), `layers` (each draw of LISA's
    with its step), and `check` where one was made.
    """
    bilevel = Bilevel(
        problem.model,
        problem.by_source,
        problem.validation,
        settings,
        seed,
        problem.row_length,
        problem.layers,
        problem.parallel,
        problem.sources,
    )
    if problem.start:
        # p = softmax(λ) is then what was given.
        shares = torch.tensor([problem.start[name] for name in problem.sources], dtype=bilevel.logits.dtype)
        bilevel.logits.copy_(torch.log(shares))
    job = Recorded(bilevel, problem.sources)

    def report(step: Step) -> None:
        top = sorted(range(len(problem.sources)), key=lambda i: -step.weights[i])[:3]
        weights = "  ".join(f"{problem.sources[i]} {step.weights[i]:.3f}" for i in top)
        text = f"L1 {step.L1:.3f}  gap {step.weights @ step.gap:+.4f}  {weights}  {step.peak_memory_gb:.2f} GB"
        problem.progress(step.step + 1, settings.steps, text, step.tokens)

    checkpoints.run(job, problem.checkpoints, report)
    final = bilevel.weights
    by_step = [row["value"] for row in job.rows if row["quantity"] == "weight" and row["step"] >= settings.steps // 2]
    count = len(problem.sources)
    second_half = [by_step[i : i + count] for i in range(0, len(by_step), count)] + [final.tolist()]
    tail_mean = [sum(column) / len(second_half) for column in zip(*second_half, strict=True)]
    weights = prune(final, settings.prune_below)
    tokens = int(sum(row["value"] for row in job.rows if row["quantity"] == "tokens"))
    rows, layers = job.rows + weight_rows(settings.steps, problem.sources, final), job.layers
    del bilevel, job  # the models and their Adam state, before the check loads the base again
    return Outcome(
        weights,
        rows,
        {
            "final": dict(zip(problem.sources, final.tolist(), strict=True)),
            "tail_mean": dict(zip(problem.sources, tail_mean, strict=True)),
            "layers": layers,
        }
        | confirm_run(problem, settings, seed, weights),
        Spent(tokens, tokens),
    )


def step_rows(step: Step, sources: list[str]) -> list[dict]:
    """Long rows {step, source, quantity, value} of one step; its weights are those before its update."""
    rows = weight_rows(step.step, sources, step.weights)
    for source, gap in zip(sources, step.gap, strict=True):
        rows.append({"step": step.step, "source": source, "quantity": "gap", "value": float(gap)})
    for quantity in ("L1", "L2_w", "L2_u", "seconds", "peak_memory_gb", "tokens"):
        rows.append({"step": step.step, "source": None, "quantity": quantity, "value": getattr(step, quantity)})
    return rows
