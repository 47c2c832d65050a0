"""From judgments to scores with 95 % intervals, by category and turn.

The interval is a bootstrap over questions: a question is drawn with both its turns, because their ratings go together
(treating 160 ratings as independent makes intervals too narrow). Percentiles are widened for few questions (the
"expanded percentile interval" of Hesterberg 2015, doi 10.1080/00031305.2015.1089789): a category has ten.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import ndtr, stdtrit

from scalebio.errors import UserError
from scalebio.mtbench.parsing import FAILED
from scalebio.streams import stream

COLUMNS = ["category", "turn", "score", "low", "high", "n", "failed", "judge", "questions"]
ALL, BOTH = "all", "both"
DRAWS = 4000


def table(judgments: list[dict], seed: int) -> pd.DataFrame:
    """One row per category ("all" first, then in question order) and turn ("1", "2", "both"), with COLUMNS.

    `score` is the mean rating, 1 to 10, of the `n` judgments with a readable rating; `failed` counts the others. As in
    FastChat "both" is the mean over all ratings. Where nothing could be rated the score is NaN, and with ratings of
    one question only the interval is. Raises UserError for rows of more than one model, judge, prompt file or set.
    """
    if not judgments:
        raise UserError("There are no judgments to score. Judge the answers anew.")
    for field, values in {
        "model": {row["model"] for row in judgments},
        "judge": {row["judge"][0] for row in judgments},
        "prompt file": {row["prompts_sha256"] for row in judgments},
        "question set": {row["questions"] for row in judgments},
    }.items():
        if len(values) > 1:
            raise UserError(f"Judgments with more than one {field} ({', '.join(sorted(values))}) have no common mean.")
    seen = [(row["question_id"], row["turn"]) for row in judgments]
    if len(set(seen)) < len(seen):
        raise UserError("A question is judged twice for the same turn, and would count twice. Judge the answers anew.")
    ordered = sorted(judgments, key=lambda row: (row["question_id"], row["turn"]))
    rows = []
    for category in [ALL, *dict.fromkeys(row["category"] for row in ordered)]:
        for turn, turns in (("1", {1}), ("2", {2}), (BOTH, {1, 2})):
            chosen = [r for r in ordered if r["turn"] in turns and category in (ALL, r["category"])]
            rated = [row for row in chosen if row["score"] != FAILED]
            ratings = [row["score"] for row in rated]
            generator = stream(seed, "mtbench bootstrap", category)
            low, high = cluster_interval(ratings, [row["question_id"] for row in rated], generator)
            score = float(np.mean(ratings)) if ratings else np.nan
            counts = [len(rated), len(chosen) - len(rated)]
            rows.append([category, turn, score, low, high, *counts, ordered[0]["judge"][0], ordered[0]["questions"]])
    return pd.DataFrame(rows, columns=COLUMNS)


def cluster_interval(
    values: Sequence[float], clusters: Sequence[object], generator: np.random.Generator, level: float = 0.95
) -> tuple[float, float]:
    """Ends of the bootstrap interval of the mean of `values`, whole `clusters` resampled; NaN below two clusters."""
    names, index = np.unique(np.asarray(clusters), return_inverse=True)
    k = len(names)
    if k < 2:
        return np.nan, np.nan
    sums = np.bincount(index, weights=np.asarray(values, dtype=float), minlength=k)
    counts = np.bincount(index, minlength=k)
    draws = generator.integers(k, size=(DRAWS, k))
    means = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    tail = ndtr(np.sqrt(k / (k - 1)) * stdtrit(k - 1, (1 - level) / 2))
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)
