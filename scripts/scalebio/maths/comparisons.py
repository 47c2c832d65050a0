"""Which method answers more questions right, question by question.

All methods answer the same questions, so what is compared is the difference at each: right (1) or wrong (0), as mean over
seeds, minus the same of the baseline. The verdict is that of an exact test: if the methods were alike, each difference
could as well have the other sign. With one seed this is McNemar's exact test. The interval is that of Agresti and Min
(2005, Statistics in Medicine 24, 729), which adds half a question to each of the four outcomes and so stays honest where
few questions differ; its formula takes means over seeds as it takes single answers. Near the limit the two can disagree, and
then the test decides. Both speak of other questions of the same kind, not of other seeds: those are to be seen one by one.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import gammaln, ndtri

from scalebio.errors import UserError
from scalebio.maths.scores import ALL, GROUPINGS, LEVEL, groups
from scalebio.mtbench.comparisons import smallest_visible
from scalebio.statistics import BETTER, UNCLEAR, WORSE

COLUMNS = ["benchmark", "grouping", "group", "method", "baseline", "seed", "difference", "low", "high", "n"]
COLUMNS += ["gained", "lost", "p", "smallest_visible", "verdict"]
QUESTION = ["benchmark", "id"]


def table(runs: Sequence[tuple[str, int, list[dict]]], baseline: str) -> pd.DataFrame:
    """Every other method minus `baseline`, with COLUMNS; `runs` are (method, seed, rows of graded.jsonl).

    Rows: per method its seeds ("all" is the mean over those that the baseline has too, then each of these alone), and
    groups as in `scores.table`. `difference` is of accuracies; `gained` and `lost` count the `n` questions that the method
    answers better and worse than the baseline, `p` is that of the exact test, and `smallest_visible` the true difference
    that so many questions would show with 80 % power. Raises UserError where runs answered different questions, no run
    has the baseline, or a method has no seed in common with it.
    """
    seeds: dict[str, dict[int, pd.Series]] = {}
    asked = None
    for method, seed, graded in runs:
        frame = pd.DataFrame(graded)
        found = frame.set_index(QUESTION)["correct"].astype(int)
        asked = frame[[*QUESTION, *GROUPINGS]] if asked is None else asked
        if found.index.tolist() != list(asked[QUESTION].itertuples(index=False, name=None)):
            raise UserError(
                f"{method}, seed {seed}, answered other questions than the rest. Answer and score all anew."
            )
        seeds.setdefault(method, {})[seed] = found.reset_index(drop=True)
    if baseline not in seeds:
        raise UserError(f"`baseline` is {baseline}; the methods are {', '.join(seeds)}. Set it to one of these.")
    rows = []
    for method in [name for name in seeds if name != baseline]:
        shared = [seed for seed in seeds[method] if seed in seeds[baseline]]
        if not shared:
            raise UserError(f"Method {method} has no seed in common with {baseline}. Run both with the same seeds.")
        gaps = pd.DataFrame({seed: seeds[method][seed] - seeds[baseline][seed] for seed in shared})
        for name, chosen in {ALL: shared, **{str(seed): [seed] for seed in shared}}.items():
            for benchmark, grouping, group, part in groups(asked):
                result = paired(gaps.loc[part.index, chosen].sum(axis=1).to_numpy(), len(chosen))
                rows.append([benchmark, grouping, group, method, baseline, name, *result])
    return pd.DataFrame(rows, columns=COLUMNS)


def paired(sums: np.ndarray, seeds: int) -> list:
    """The last columns of COLUMNS, from `difference` on, for n questions.

    `sums`: shape (n,), whole numbers: right answers of the method minus those of the baseline, over its `seeds`.
    """
    n, differences = len(sums), sums / seeds
    low, high = interval(differences)
    p = exact_p(sums)
    verdict = UNCLEAR if p >= 1 - LEVEL else BETTER if sums.sum() > 0 else WORSE
    counts = [n, int((sums > 0).sum()), int((sums < 0).sum())]
    return [float(differences.mean()), low, high, *counts, p, smallest_visible(differences), verdict]


def interval(differences: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Ends of Agresti and Min's interval of the mean of paired `differences`, shape (n,), each from -1 to 1."""
    n = len(differences) + 2
    total = float(differences.sum())
    half = ndtri((1 + level) / 2) * np.sqrt(float((differences**2).sum()) + 1 - total**2 / n) / n
    return max(-1.0, total / n - half), min(1.0, total / n + half)


def exact_p(sums: np.ndarray) -> float:
    """Two-sided p of the whole numbers `sums` if each could as well have the other sign: exact, by convolution.

    The probability that their total is as far from 0 as it is, or farther; 1 where all are 0.
    """
    sizes, counts = np.unique(np.abs(sums[sums != 0]), return_counts=True)
    chances = np.ones(1)
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        up = np.arange(count + 1)
        of_size = np.zeros(2 * size * count + 1)
        # So many of them up: a total of size · (2 up − count), which stands at index 2 · size · up.
        of_size[2 * size * up] = np.exp(
            gammaln(count + 1) - gammaln(up + 1) - gammaln(count - up + 1) - count * np.log(2)
        )
        chances = np.convolve(chances, of_size)
    totals = np.arange(len(chances)) - len(chances) // 2
    return float(min(1.0, chances[np.abs(totals) >= abs(int(sums.sum()))].sum()))
