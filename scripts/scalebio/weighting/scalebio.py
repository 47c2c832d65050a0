"""ScaleBiO as a weighting method: runs `scalebio.bilevel` on the problem and records its trajectory."""

from scalebio.bilevel import Bilevel, Step, prune
from scalebio.bilevel import learn as run_loop
from scalebio.config import ScaleBiO
from scalebio.confirmation import confirm_run
from scalebio.weighting import Outcome, Problem


def learn(problem: Problem, settings: ScaleBiO, seed: int) -> Outcome:
    """Weights of the last step, pruned if asked.

    Extra: `final` (unpruned), `tail_mean` (mean over the second half of the steps), and `check` where one was made.
    """
    bilevel = Bilevel(
        problem.model, problem.by_source, problem.validation, settings, seed, problem.row_length, problem.layers
    )

    def report(step: Step) -> None:
        top = max(range(len(problem.sources)), key=lambda i: step.weights[i])
        text = f"L1 {step.L1:.3f}  largest weight {problem.sources[top]} {step.weights[top]:.3f}"
        problem.progress(step.step + 1, settings.steps, text)

    history = run_loop(bilevel, report)
    final = bilevel.weights
    second_half = [step.weights for step in history[len(history) // 2 :]] + [final]
    tail_mean = sum(second_half) / len(second_half)
    weights = prune(final, settings.prune_below)
    del bilevel  # its models and their Adam state, before the check loads the base again
    return Outcome(
        weights,
        trajectory_rows(history, problem.sources, final),
        {
            "final": dict(zip(problem.sources, final.tolist(), strict=True)),
            "tail_mean": dict(zip(problem.sources, tail_mean.tolist(), strict=True)),
        }
        | confirm_run(problem, settings, seed, weights),
    )


def trajectory_rows(history: list[Step], sources: list[str], final) -> list[dict]:
    """Long rows {step, source, quantity, value}; weights also at the step after the last, where they end."""
    rows = []
    for step in history:
        for i, source in enumerate(sources):
            rows.append({"step": step.step, "source": source, "quantity": "weight", "value": float(step.weights[i])})
            rows.append({"step": step.step, "source": source, "quantity": "gap", "value": float(step.gap[i])})
        for quantity in ("L1", "L2_w", "L2_u", "seconds", "peak_memory_gb"):
            rows.append({"step": step.step, "source": None, "quantity": quantity, "value": getattr(step, quantity)})
    for i, source in enumerate(sources):
        rows.append({"step": len(history), "source": source, "quantity": "weight", "value": float(final[i])})
    return rows
