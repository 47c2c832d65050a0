"""Gradient matching as a weighting method: at each step the weights that best match the validation gradient so far."""

import numpy as np

from scalebio.bilevel import prune
from scalebio.config_methods import GradientMatching
from scalebio.gradient_match import Average, Matcher
from scalebio.weighting import Outcome, Problem, Spent, weight_rows


def learn(problem: Problem, settings: GradientMatching, seed: int) -> Outcome:
    """Mean over the second half of the steps of the weights found, pruned if asked.

    Extra: `final` (unpruned mean), `last` (the last step's weights). Where sources' gradients are nearly parallel, the
    Gram matrix is close to singular and the split among them is not to be trusted (docs/measured.md).
    """
    matcher = Matcher(
        problem.model.to(problem.parallel.device),
        problem.by_source,
        problem.validation,
        settings,
        seed,
        problem.row_length,
        problem.layers,
    )
    count = len(problem.sources)
    average, weights = Average(1 - 1 / settings.memory), np.full(count, 1 / count)
    trajectory = [weights]
    for k in range(settings.steps):
        seen = matcher.step(weights)
        if seen is not None:
            average.add(*seen)
            if k >= settings.ramp:
                weights = average.value.solve()
        trajectory.append(weights)
        top = int(weights.argmax())
        problem.progress(k + 1, settings.steps, f"largest weight {problem.sources[top]} {weights[top]:.3f}")
    final = np.mean(trajectory[len(trajectory) // 2 :], axis=0)
    named = [dict(zip(problem.sources, vector.tolist(), strict=True)) for vector in (final, weights)]
    rows = [row for step, vector in enumerate(trajectory) for row in weight_rows(step, problem.sources, vector)]
    spent = Spent(matcher.tokens, matcher.tokens)
    return Outcome(prune(final, settings.prune_below), rows, {"final": named[0], "last": named[1]}, spent)
