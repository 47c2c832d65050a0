"""From judgments to scores with 95 % intervals, by model, category and turn.

The interval is a bootstrap over questions: a question is drawn with both its turns and all its repeats, because their
ratings go together (treating 160 ratings as independent makes intervals too narrow). Percentiles are widened for few
questions (the "expanded percentile interval" of Hesterberg 2015, doi 10.1080/00031305.2015.1089789): a category has ten.
"""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import ndtr, stdtrit

from scalebio.errors import UserError
from scalebio.mtbench.parsing import FAILED
from scalebio.streams import stream

COLUMNS = ["model", "category", "turn", "score", "low", "high", "n", "failed", "cut", "repeats", "judge_sd"]
LABELS = ["judge", "judge_note", "questions", "prompts_sha256"]
COLUMNS += LABELS
REPEAT_COLUMNS = ["method", "seed", "repeats", "score", "low", "high", "judge_sd", "n", "failed", "judge", "judge_note"]
REPEAT_COLUMNS += ["questions"]
FIELDS = {"model", "question_id", "category", "turn", "repeat", "score", "cut", *LABELS}
ALL, BOTH = "all", "both"
DRAWS = 4000
# A bootstrap cannot leave the range of its values, and five questions point the same way by chance in 2/2⁵ = 6 % of
# cases: measured coverage is 64 % with two questions, 92 % with five, 94 % with six.
FEWEST = 6


class Judged(NamedTuple):
    """A model of the judgments, and the method and seed that it stands for."""

    model_id: str
    method: str
    seed: int


def table(judgments: list[dict], seed: int) -> pd.DataFrame:
    """One row per model (as they come), category ("all" first) and turn ("1", "2", "both"), with COLUMNS.

    `score` is the mean rating, 1 to 10, of the `n` judgments with a readable rating; `failed` counts the others. As in
    FastChat "both" is the mean over all ratings. `low` and `high` are NaN below FEWEST questions, `score` where nothing
    could be rated. `cut` counts judgments of answers that lost their middle to the judge's context, `repeats` is how
    many times the answers were judged, `judge_sd` the standard deviation of `score` that the judge alone makes (see
    `judge_variance`; NaN if judged once). Raises UserError as `checked` does.
    """
    data = checked(judgments)
    labels = [data[label].iloc[0] for label in LABELS]
    rows = []
    for model, part in data.groupby("model", sort=False):
        for category in categories(data):
            chosen = part if category == ALL else part[part["category"] == category]
            for turn, turns in (("1", [1]), ("2", [2]), (BOTH, [1, 2])):
                asked = chosen[chosen["turn"].isin(turns)]
                rated = asked[asked["score"] != FAILED]
                interval = cluster_interval(
                    rated["score"], rated["question_id"], stream(seed, "mtbench bootstrap", category)
                )
                counts = [len(rated), len(asked) - len(rated), int((asked["cut"] > 0).sum()), part["repeat"].max()]
                deviation = (judge_variance(rated) / len(rated)) ** 0.5 if len(rated) else np.nan
                rows.append([model, category, turn, rated["score"].mean(), *interval, *counts, deviation, *labels])
    return pd.DataFrame(rows, columns=COLUMNS)


def by_repeats(judgments: list[dict], runs: Sequence[Judged], seed: int) -> pd.DataFrame:
    """The score over both turns and all categories if the judge had stopped after 1, 2, … repeats, with REPEAT_COLUMNS.

    One row per method, seed ("all" pools the method's seeds, then each alone) and number of `repeats`. Interval and
    `judge_sd` as in `table`; the variance behind the latter comes from all repeats. Raises UserError as `of_runs` does.
    """
    data = of_runs(judgments, runs)
    labels = [data[label].iloc[0] for label in ("judge", "judge_note", "questions")]
    rows = []
    for method, every in data.groupby("method", sort=False):
        for name in [ALL, *every["seed"].unique()]:
            part = every if name == ALL else every[every["seed"] == name]
            variance = judge_variance(part[part["score"] != FAILED])
            for repeats in range(1, part["repeat"].max() + 1):
                asked = part[part["repeat"] <= repeats]
                rated = asked[asked["score"] != FAILED]
                interval = cluster_interval(
                    rated["score"], rated["question_id"], stream(seed, "mtbench bootstrap", "repeats")
                )
                deviation = (variance / len(rated)) ** 0.5 if len(rated) else np.nan
                counts = [len(rated), len(asked) - len(rated)]
                values = [str(name), repeats, rated["score"].mean(), *interval, deviation, *counts]
                rows.append([method, *values, *labels])
    return pd.DataFrame(rows, columns=REPEAT_COLUMNS)


def checked(judgments: list[dict]) -> pd.DataFrame:
    """`judgments` as a table: models as they come, then by question, turn and repeat; `judge` is the judge's id.

    Raises UserError where there are none or one lacks a field, where an answer has two ratings for the same repeat, or
    for rows of more than one judge, prompt file or question set, which have no common mean.
    """
    if not judgments:
        raise UserError("There are no judgments to score. Judge the answers anew.")
    for number, row in enumerate(judgments, 1):
        if missing := FIELDS - row.keys():
            raise UserError(f"Judgment {number} has no {', '.join(sorted(missing))}. Judge the answers anew.")
    data = pd.DataFrame({field: [row[field] for row in judgments] for field in sorted(FIELDS)})
    data["judge"] = [judge for judge, _prompt in data["judge"]]
    for name, what in {"judge": "judge", "prompts_sha256": "prompt file", "questions": "question set"}.items():
        if data[name].nunique() > 1:
            found = ", ".join(sorted(data[name].unique()))
            raise UserError(
                f"Judgments with more than one {what} ({found}) have no common mean. Judge the answers anew."
            )
    keys = ["model", "question_id", "turn", "repeat"]
    twice = data[data.duplicated(keys)]
    if len(twice):
        model, question, turn, repeat = twice.iloc[0][keys]
        raise UserError(
            f"Question {question}, turn {turn}, of {model} is judged twice as repeat {repeat}, and would count twice. "
            "Judge the answers anew."
        )
    order = {model: position for position, model in enumerate(data["model"].unique())}
    return data.sort_values(keys, key=lambda column: column.map(order) if column.name == "model" else column)


def of_runs(judgments: list[dict], runs: Sequence[Judged]) -> pd.DataFrame:
    """`checked` judgments with the `method` and `seed` of each model, in the order of `runs`.

    Raises UserError where the judgments are not of just the models that the runs name, or two runs are the same.
    """
    data, known = checked(judgments), {run.model_id: run for run in runs}
    if len({run[1:] for run in runs}) < len(runs) or len(known) < len(runs):
        raise UserError(f"--settings: a run is listed twice: {', '.join(run.model_id for run in runs)}.")
    for models, what in (
        (known.keys() - set(data["model"]), "The judgments have none of"),
        (set(data["model"]) - known.keys(), "No run names the judged"),
    ):
        if models:
            raise UserError(f"{what} {', '.join(sorted(models))}. Judge the answers of all runs anew.")
    data["method"] = [known[model].method for model in data["model"]]
    data["seed"] = [known[model].seed for model in data["model"]]
    order = {model: position for position, model in enumerate(known)}
    return data.sort_values("model", key=lambda column: column.map(order), kind="stable")


def categories(data: pd.DataFrame) -> list[str]:
    """ "all", then the categories of checked judgments in the order of their questions."""
    return [ALL, *data.sort_values("question_id", kind="stable")["category"].unique()]


def judge_variance(rated: pd.DataFrame) -> float:
    """Variance of one rating when the judge rates the same answer again: pooled within answers; NaN if none was.

    A mean of n ratings has 1/n of it, since the judge's slips at different answers and repeats are independent. What
    it does not see is a judge that shifts between repeats (say, another model behind the same name): for that
    `comparisons` holds odd against even repeats.
    """
    answers = rated.groupby(["model", "question_id", "turn"])["score"]
    freedom = len(rated) - answers.ngroups
    return float(((rated["score"] - answers.transform("mean")) ** 2).sum() / freedom) if freedom else np.nan


def cluster_interval(
    values: Sequence[float], clusters: Sequence[Hashable], generator: np.random.Generator, level: float = 0.95
) -> tuple[float, float]:
    """Ends of the bootstrap interval of the mean of `values`, whole `clusters` resampled; NaN below FEWEST clusters."""
    names, index = np.unique(np.asarray(clusters), return_inverse=True)
    k = len(names)
    if k < FEWEST:
        return np.nan, np.nan
    sums = np.bincount(index, weights=np.asarray(values, dtype=float), minlength=k)
    counts = np.bincount(index, minlength=k)
    draws = generator.integers(k, size=(DRAWS, k))
    means = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    tail = ndtr(np.sqrt(k / (k - 1)) * stdtrit(k - 1, (1 - level) / 2))
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)
