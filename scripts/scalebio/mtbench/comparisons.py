"""Which method answers better, question by question, and how far the judge alone can move a score.

All methods answer the same questions, and questions differ far more than methods do: so what is compared is the
difference at each question, as mean over its turns, judge repeats and seeds. The interval resamples questions, each with
all that belongs to it. Judge repeats are a second level, and on purpose not resampled: the means of the questions already
scatter by the judge's noise, and drawing repeats anew within each drawn question would add it once more (Davison &
Hinkley 1997, Bootstrap Methods and their Application, section 3.8: with replacement at the top level only). Measured over
6,000 simulated judgings of 80 questions with three repeats each (as in tests/mtbench/test_comparisons.py): this interval
covers the true difference in 94.9 % of cases where the judge scatters by one point and in 94.8 % where by two; resampling
repeats too covers 95.3 and 96.8 % (of 2,500), with intervals 3 and 10 % too wide.

An interval speaks of other questions of the same kind, not of other seeds: those are to be seen one by one.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import nctdtrinc, stdtrit

from scalebio.errors import UserError
from scalebio.mtbench import scores
from scalebio.mtbench.parsing import FAILED
from scalebio.mtbench.scores import ALL, BOTH, Judged
from scalebio.statistics import BETTER, UNCLEAR, WORSE
from scalebio.streams import stream

METHOD, NOISE = "method", "judge noise"
COLUMNS = ["comparison", "method", "baseline", "seed", "category", "turn", "difference", "low", "high", "n"]
COLUMNS += ["smallest_visible", "verdict", "judge", "judge_note", "questions"]
JUDGED_ONCE = "unknown: judged once"
REPEATS_DIFFER = "repeats differ"
POWER, LEVEL = 0.8, 0.95


class Paired(NamedTuple):
    """Mean difference with its 95 % interval, number of questions, smallest difference that would be seen, verdict."""

    difference: float
    low: float
    high: float
    n: int
    smallest_visible: float
    verdict: str


def table(judgments: list[dict], runs: Sequence[Judged], baseline: str, seed: int) -> pd.DataFrame:
    """Every other method minus `baseline`, and the judge against itself, with COLUMNS.

    Rows: per method its seeds ("all" is their mean over those that the baseline has too, then each of these alone) and
    categories ("all" first); last, per category, comparison "judge noise": the same answers judged again, as odd minus
    even repeats, mean over all models, where the truth is 0. Differences are in points of the score. A turn of a
    question counts where both sides have a readable rating of it; `n` is the number of questions that are left.
    Raises UserError as `scores.of_runs` does, or if `baseline` has no run, or a method no seed in common with it.
    """
    data = scores.of_runs(judgments, runs)
    seeds: dict[str, dict[int, str]] = {}
    for run in runs:
        seeds.setdefault(run.method, {})[run.seed] = run.model_id
    if baseline not in seeds:
        raise UserError(f"`baseline` is {baseline}; the judged methods are {', '.join(seeds)}. Set it to one of these.")
    rated = data[data["score"] != FAILED]
    categories = scores.categories(data)
    of_question = data.drop_duplicates("question_id").set_index("question_id")["category"]
    labels = [data[label].iloc[0] for label in ("judge", "judge_note", "questions")]
    rows = []

    def add(identity: list[str], differences: pd.Series) -> None:
        for category in categories:
            chosen = differences if category == ALL else differences[of_question.loc[differences.index] == category]
            result = paired(chosen.to_numpy(), stream(seed, "mtbench differences", category))
            if identity[0] == NOISE:
                result = result._replace(verdict=_of_the_judge(result, data["repeat"].nunique() > 1))
            rows.append([*identity, category, BOTH, *result, *labels])

    answers = rated.groupby(["question_id", "turn", "model"])["score"].mean().unstack("model")
    answers = answers.reindex(columns=[run.model_id for run in runs])
    for method in [name for name in seeds if name != baseline]:
        shared = [number for number in seeds[method] if number in seeds[baseline]]
        if not shared:
            raise UserError(f"Method {method} has no seed in common with {baseline}. Run both with the same seeds.")
        gaps = pd.DataFrame(
            {number: answers[seeds[method][number]] - answers[seeds[baseline][number]] for number in shared}
        )
        by_question = gaps.groupby(level="question_id").mean()
        add([METHOD, method, baseline, ALL], by_question.mean(axis=1).dropna())
        for number in shared:
            add([METHOD, method, baseline, str(number)], by_question[number].dropna())
    halves = rated.groupby(["question_id", "turn", "model", rated["repeat"] % 2])["score"].mean().unstack("repeat")
    again = halves.reindex(columns=[1, 0]).dropna()
    add([NOISE, "", "", ALL], (again[1] - again[0]).groupby(level="question_id").mean())
    return pd.DataFrame(rows, columns=COLUMNS)


def paired(differences: np.ndarray, generator: np.random.Generator) -> Paired:
    """What differences at n questions (shape (n,), points) say about their mean.

    The verdict is "better" or "worse" where the interval leaves out zero; it has none below `scores.FEWEST` questions.
    """
    n = len(differences)
    mean = float(np.mean(differences)) if n else np.nan
    interval = scores.cluster_interval(differences, range(n), generator)
    # Means of thirds that are 0 by hand come out as 1e-17, which must not decide a verdict.
    low, high = (round(end, 12) for end in interval)
    verdict = BETTER if low > 0 else WORSE if high < 0 else UNCLEAR
    return Paired(mean, low, high, n, smallest_visible(differences), verdict)


def smallest_visible(differences: np.ndarray) -> float:
    """The smallest true difference that a two-sided 5 % test would see with 80 % power at this n and this scatter.

    From the noncentral t distribution (n − 1 degrees of freedom) and the standard deviation of the `differences`,
    shape (n,). NaN below `scores.FEWEST` questions, or where the differences do not scatter and so give no scale.
    """
    n = len(differences)
    if n < scores.FEWEST or np.ptp(differences) < 1e-9:
        return np.nan
    limit = stdtrit(n - 1, (1 + LEVEL) / 2)
    return float(nctdtrinc(n - 1, 1 - POWER, limit) * np.std(differences, ddof=1) / np.sqrt(n))


def _of_the_judge(result: Paired, judged_again: bool) -> str:
    if not judged_again:
        return JUDGED_ONCE
    return UNCLEAR if result.verdict == UNCLEAR else REPEATS_DIFFER
