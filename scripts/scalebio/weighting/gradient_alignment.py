"""Gradient alignment: a source gains weight while its gradient points where the validation gradient points.

DoGE (Fan et al. 2024, arXiv 2310.15393) in its form for a target outside the sources: with g_i the gradient of source
i's loss and v that of the validation loss, W_i = ⟨g_i, v⟩; then p_i ∝ p_i exp(η W_i / μ), and the model takes its step
on Σ p_i g_i with the new p. The weights learned are the mean of p over the steps (Algorithm 1 there).

As in the paper: plain inner products, η the model's learning rate of the step, the first p equal. Not as in the authors'
release: it clips gradients, divides W by the mean norm of the sources' gradients, and counts negative alignment as none.
Nor is the schedule theirs: ramp and cosine to zero, as for every method here.

An inner product grows with the source's gradient, so a base that knows nothing prefers whatever is quickly learned: on the
planted pair of `tests/test_baselines_by_gradient.py` constant answers won from random weights with each of three seeds,
right answers after 60 steps of warm-up.
"""

import math

import numpy as np

from scalebio.bilevel import prune
from scalebio.config_methods import GradientAlignment
from scalebio.source_gradients import SourceGradients
from scalebio.weighting import Outcome, Problem, Spent, need_one_process, weight_rows


class Aligner(SourceGradients):
    """The proxy model and its weights; `step()` advances both. Memory beside model and optimiser: three gradients.

    Under LISA alignment is that of the parameters that train.
    """

    def __init__(self, *arguments, **options):
        super().__init__("alignment", *arguments, **options)
        self.logarithms = np.full(self.count, -math.log(self.count))

    @property
    def weights(self) -> np.ndarray:
        """Where the weights stand, [sources], summing to 1."""
        return np.exp(self.logarithms)

    def step(self) -> np.ndarray:
        """One update of weights and model; returns the alignments W_i [sources] that the update used."""
        batches, alignment = self.start(), np.zeros(self.count)
        target, scale = self.gradient(self.held_out()), self.rate / self.settings.mu
        mixture, top = target.new_zeros(len(target)), -math.inf
        for i, examples in enumerate(batches):
            gradient = self.gradient(examples)
            alignment[i] = float(gradient @ target)
            self.logarithms[i] += scale * alignment[i]
            # The new weights are known up to a factor until the last source is seen. Relative to the largest so far, the
            # sum cannot overflow, and no more than one source's gradient is held.
            highest = max(top, self.logarithms[i])
            mixture.mul_(math.exp(top - highest)).add_(gradient, alpha=math.exp(self.logarithms[i] - highest))
            top = highest
        total = float(np.logaddexp.reduce(self.logarithms))
        self.logarithms -= total
        self.descend(mixture.mul_(math.exp(top - total)))
        return alignment


def learn(problem: Problem, settings: GradientAlignment, seed: int) -> Outcome:
    """Mean of the weights over the steps, pruned if asked.

    Trajectory: the weights before each step and after the last, and each step's alignments. Extra: `final` (unpruned
    mean), `last` (the last step's weights).
    """
    need_one_process(problem, settings.kind)
    aligner = Aligner(
        problem.model.to(problem.parallel.device),
        problem.by_source,
        problem.validation,
        settings,
        seed,
        problem.row_length,
        problem.layers,
    )
    sources, passed = problem.sources, []
    rows = weight_rows(0, sources, aligner.weights)
    for k in range(settings.steps):
        before = aligner.tokens
        alignment = aligner.step()
        passed.append(aligner.weights)
        for source, value in zip(sources, alignment, strict=True):
            rows.append({"step": k, "source": source, "quantity": "alignment", "value": float(value)})
        rows += weight_rows(k + 1, sources, passed[-1])
        top = int(passed[-1].argmax())
        text = f"largest weight {sources[top]} {passed[-1][top]:.3f}"
        problem.progress(k + 1, settings.steps, text, aligner.tokens - before)
    final = np.mean(passed, axis=0)
    named = [dict(zip(sources, vector.tolist(), strict=True)) for vector in (final, passed[-1])]
    return Outcome(
        prune(final, settings.prune_below),
        rows,
        {"final": named[0], "last": named[1]},
        Spent(aligner.tokens, aligner.tokens),
    )
