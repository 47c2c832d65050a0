"""The table of transfer: how much weights learned with two models agree, and what is lost by using the one's for the other.

Agreement: rank correlations (Spearman, Kendall's τ-b) and total variation of the mean weights over seeds, beside the total
variation between seeds of the same model, which is what agreement has to be held against. Regret: test loss of the model
trained on transferred weights minus that of the same model trained on its own. Both are defined with one seed, and a column
says what they then cannot say. All ours: the paper reports neither.
"""

from collections import defaultdict
from itertools import combinations
from math import nan

import numpy as np
import pandas as pd
from scipy import stats

from scalebio import statistics
from scalebio.tables.runs import Run

COLUMNS = ["experiment", "model", "for_model", "method", "seeds", "spearman", "kendall", "total_variation"]
COLUMNS += ["seed_variation", "regret", "low", "high", "n", "verdict", "changed", "cannot_say"]
READ_BY = ("template", "tokenizer")


def ranks_agree(p: np.ndarray, q: np.ndarray) -> tuple[float, float]:
    """Spearman's and Kendall's rank correlation of two weight vectors; NaN where one of them has no ranks."""
    if len(set(p.tolist())) == 1 or len(set(q.tolist())) == 1:
        return nan, nan
    return float(stats.spearmanr(p, q).statistic), float(stats.kendalltau(p, q).statistic)


def seed_variation(by_seed: list[np.ndarray]) -> float:
    """Mean total variation between two seeds' weights; NaN with one seed."""
    apart = [statistics.total_variation(p, q) for p, q in combinations(by_seed, 2)]
    return float(np.mean(apart)) if apart else nan


def table(weights: list[tuple[Run, dict]], metrics: list[tuple[Run, dict]], pairs: list[dict]) -> pd.DataFrame:
    """One row a pair of models and method.

    `pairs`: {"from": experiment that learned, "model": with which, "for_model": for which other, "methods": [...], "own":
    experiment in which that one learned its own, or None, "transferred": experiment in which it took these, or None}.
    `changed`: what of chat template and tokenizer is another for the model that took them; empty where nothing, or none did.
    """
    learned, losses, changed = defaultdict(dict), defaultdict(dict), defaultdict(dict)
    for run, data in weights:
        learned[run.experiment, run.method][run.seed] = data["weights"]
        told = data.get("transferred", {})
        # A mapping, as an ordered set.
        changed[run.experiment, run.method] |= {key: 1 for key in READ_BY if told.get(f"{key}_changed")}
    for run, data in metrics:
        losses[run.experiment, run.method][run.seed] = float(data["test_loss"])
    rows = [
        {
            "experiment": pair["from"],
            **{key: pair[key] for key in ("model", "for_model")},
            "method": method,
            "changed": ", ".join(changed.get((pair["transferred"], method), {})),
            **_compared(learned[pair["from"], method], learned.get((pair["own"], method), {}), pair["for_model"]),
            **_regret(losses.get((pair["transferred"], method), {}), losses.get((pair["own"], method), {})),
        }
        for pair in pairs
        for method in pair["methods"]
    ]
    frame = pd.DataFrame(rows)
    frame["cannot_say"] = [
        "; ".join(filter(None, said)) for said in zip(frame["no_agreement"], frame["no_regret"], strict=True)
    ]
    return frame[COLUMNS]


def _compared(theirs: dict[int, dict], own: dict[int, dict], model: str) -> dict:
    """Agreement of two models' weights by seed."""
    result = dict.fromkeys(("spearman", "kendall", "total_variation", "seed_variation"), nan)
    result |= {"seeds": len(theirs), "no_agreement": f"no weights were learned with {model}: no agreement, no regret"}
    if not own:
        return result
    sources = list(next(iter(theirs.values())))
    vectors = [[np.array([seen[name] for name in sources]) for seen in group.values()] for group in (theirs, own)]
    p, q = (np.mean(group, axis=0) for group in vectors)
    spearman, kendall = ranks_agree(p, q)
    one_seed = min(map(len, vectors)) == 1
    said = "one seed: disagreement of models and of seeds look alike" if one_seed else ""
    if np.isnan(spearman):
        said = "; ".join(filter(None, ["all weights of a model are equal: no ranks", said]))
    return {
        "seeds": min(map(len, vectors)),
        "spearman": spearman,
        "kendall": kendall,
        "total_variation": statistics.total_variation(p, q),
        # The larger of the two, and none unless both are known.
        "seed_variation": float(np.max([seed_variation(group) for group in vectors])),
        "no_agreement": said,
    }


def _regret(transferred: dict[int, float], own: dict[int, float]) -> dict:
    """Test loss with transferred weights minus that with a model's own, paired by seed."""
    none = {"regret": nan, "low": nan, "high": nan, "n": 0, "verdict": ""}
    if not transferred:
        return none | {"no_regret": "no model was trained on these: no regret"}
    if not set(transferred) & set(own):
        return none | {"no_regret": "no seed has both: no regret" if own else ""}
    gap = statistics.paired_difference(transferred, own)
    found = {"regret": gap.mean, "low": gap.low, "high": gap.high, "n": gap.n, "verdict": gap.verdict}
    return found | {"no_regret": "one pair: no interval" if gap.n == 1 else ""}
