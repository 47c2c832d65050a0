"""What each kind of test measures: one number with its interval, taken from a study's tables.

Where a table has the number and the interval they are taken as they are. Only what no table has is computed here, from tables of
single runs: shares of several sources together, differences between two experiments or two methods, and how far two models'
weights lie apart. All intervals have 95 % unless the remark says otherwise.
"""

from dataclasses import dataclass, field
from math import nan

import numpy as np
import pandas as pd

from scalebio import statistics
from scalebio.claims import listing
from scalebio.claims.verdicts import Found, Missing, holm
from scalebio.mtbench.questions import MT_BENCH
from scalebio.mtbench.reference_judge import LABEL as NO_LLM
from scalebio.mtbench.scores import ALL, BOTH
from scalebio.tables import tidy

COLUMNS = {
    "weights": ["experiment", "method", "seed", "source", "weight", "corruption", "expected"],
    "method_comparison": ["experiment", "method", "difference", "difference_low", "difference_high"],
    "test_loss": ["experiment", "method", "seed", "test_loss"],
    "transfer": ["experiment", "for_model", "method", "regret", "low", "high", "cannot_say"],
    "memory": ["model", "job", "trains", "own", "total"],
    "peak_memory": ["experiment", "method", "seed", "peak_gb"],
    "mtbench": ["experiment", "method", "seed", "category", "turn", "score", "judge", "questions"],
    "mtbench_differences": ["experiment", "comparison", "method", "seed", "category", "difference", "low", "high"]
    + ["judge", "questions"],
    "math_differences": ["experiment", "benchmark", "grouping", "method", "seed", "difference", "low", "high"],
}
"""The tables that claims are tested on, and what is read of each."""

TEXT = {"mtbench_differences": {"seed"}, "math_differences": {"seed"}, "memory": {"model", "job", "trains", "own"}}
FEWEST = 3  # seeds, for an interval of how far two models' weights lie apart
LOSS = "nats per answer token"


@dataclass
class Study:
    """A study's name, what is known of its experiments, and where its tables lie.

    `experiments`: {name: {"model": name, "hub": its id or None, "methods": [...], "rivals": [other methods that learn],
    "weights_from": experiment or None}}.
    """

    name: str
    experiments: dict[str, dict]
    tables: dict[str, str]
    _read: dict[str, pd.DataFrame] = field(default_factory=dict)

    def rows(self, table: str, **equal: object) -> pd.DataFrame:
        """The rows of a table whose columns have these values. Raises Missing if the study makes no such table."""
        if table not in self.tables:
            raise Missing(f"the table {table}, which this study has no runs for")
        if table not in self._read:
            self._read[table] = tidy.read_csv(self.tables[table], COLUMNS[table], text=TEXT.get(table, ()))
        frame = self._read[table]
        return frame[np.logical_and.reduce([frame[column] == value for column, value in equal.items()])]

    def require(self, experiment: str, method: str) -> None:
        """Raise Missing unless the study runs this method in this experiment."""
        if experiment not in self.experiments:
            raise Missing(f"experiment {experiment}")
        if method not in self.experiments[experiment]["methods"]:
            raise Missing(f"method {method} in experiment {experiment}")


def measure(test: listing.Tested, experiment: str, study: Study) -> list[Found]:
    """What a test finds in one experiment: one number, or one for each method compared with. Raises Missing.

    At the paper's scale also where a model is not the paper's: a small one in a study of that name shows nothing of it.
    """
    study.require(experiment, test.method)
    beside = (getattr(test, key, None) for key in ("other", "own"))
    for name in (experiment, *beside, study.experiments[experiment]["weights_from"]):
        if test.scale == "paper" and name in study.experiments:
            model = study.experiments[name]["hub"]
            if model != test.hub.get(f"{study.name}/{name}"):
                raise Missing(f"the paper's model in experiment {name}, which has {model or 'one of its own'}")
    return KINDS[type(test)](test, experiment, study)


# --- one method and equal weights ---------------------------------------------------------------------------------


def share(test: listing.Share, experiment: str, study: Study) -> list[Found]:
    """Weight of the chosen sources together over what equal weights give them: 0 is none of it, 1 as much as with equal weights."""
    frame = study.rows("weights", experiment=experiment, method=test.method)
    spoiled = frame["corruption"] > 0
    chosen = {"spoiled": spoiled, "irrelevant": (frame["expected"] == 0) & ~spoiled}
    names = test.sources if isinstance(test.sources, list) else list(frame["source"][chosen[test.sources]].unique())
    if not names or not set(names) <= set(frame["source"]):
        wanted = "sources " + ", ".join(names) if names else f"{test.sources} sources"
        raise Missing(f"{wanted} in experiment {experiment}")
    equal = len(names) / frame["source"].nunique()
    by_seed = frame[frame["source"].isin(names)].groupby("seed")["weight"].sum() / equal
    mean, low, high, n = statistics.mean_interval(by_seed.tolist())
    quantity = f"weight of {', '.join(names)} over what equal weights give (1: as much)"
    return [Found(mean, low, high, quantity, "equal weights", f"{n} seeds")]


def gain(test: listing.Gain, experiment: str, study: Study) -> list[Found]:
    """Test loss minus that of equal weights."""
    low, mean, high = _gain(test.method, experiment, study)
    return [Found(mean, low, high, f"difference of test losses, {LOSS}", "equal weights")]


def _gain(method: str, experiment: str, study: Study) -> tuple[float, float, float]:
    rows = study.rows("method_comparison", experiment=experiment, method=method).dropna(subset=["difference"])
    if rows.empty:
        raise Missing(f"equal weights beside {method} in experiment {experiment}")
    row = rows.iloc[0]
    return row["difference_low"], row["difference"], row["difference_high"]


def benchmark(test: listing.Benchmark, experiment: str, study: Study) -> list[Found]:
    """Score on a benchmark minus that of equal weights."""
    equal = {"experiment": experiment, "method": test.method, "seed": ALL}
    if test.benchmark == "mtbench":
        rows = study.rows("mtbench_differences", comparison="method", category=ALL, **equal)
        quantity, unit = "difference of MT-Bench scores, points", 1.0
    else:
        rows = study.rows("math_differences", benchmark=test.benchmark, grouping=ALL, **equal)
        quantity, unit = f"difference of accuracies on {test.benchmark}, percentage points", 100.0
    if rows.empty:
        raise Missing(f"{test.benchmark} with {test.method} and equal weights in experiment {experiment}")
    if test.benchmark == "mtbench":
        _published_mtbench(rows)
    row = rows.iloc[0]
    return [Found(*(unit * row[key] for key in ("difference", "low", "high")), quantity, "equal weights")]


def _published_mtbench(rows: pd.DataFrame) -> None:
    """Raise Missing unless the scores are of MT-Bench's own questions by a language model."""
    if (rows["judge"] == NO_LLM).any():
        raise Missing("a language model as judge; this one is a stated rule")
    if not rows["questions"].str.startswith(MT_BENCH).all():
        raise Missing("MT-Bench's own 80 questions; these are made from test rows")


# --- several methods ----------------------------------------------------------------------------------------------


def baselines(test: listing.Baselines, experiment: str, study: Study) -> list[Found]:
    """Test loss or MT-Bench score minus that of each of the rivals, with Holm's correction over them."""
    others = test.against or study.experiments[experiment]["rivals"]
    for name in others:
        study.require(experiment, name)
    if not others:
        raise Missing(f"another method than ScaleBiO that learns in experiment {experiment}")
    if test.measure == "test_loss":
        rows, column, quantity = study.rows("test_loss", experiment=experiment), "test_loss", f"test losses, {LOSS}"
    else:
        rows = study.rows("mtbench", experiment=experiment, category=ALL, turn=BOTH)
        _published_mtbench(rows)
        column, quantity = "score", "MT-Bench scores, points"
    values = {name: lines.set_index("seed")[column].to_dict() for name, lines in rows.groupby("method", sort=False)}
    found = []
    for name, (gap, level) in holm(values[test.method], {name: values[name] for name in others}).items():
        why = f"{gap.n} seeds; interval at {100 * level:.3g} %, Holm's correction over {len(others)}"
        found.append(Found(gap.mean, gap.low, gap.high, f"difference of {quantity}", name, why))
    return found


# --- two experiments ----------------------------------------------------------------------------------------------


def pair(test: listing.Pair, experiment: str, study: Study) -> list[Found]:
    """Test loss minus that of another experiment, as it is or as a share of what that one gains over equal weights."""
    other_method = test.other_method or test.method
    study.require(test.other, other_method)
    own, other = (
        study.rows("test_loss", experiment=name, method=method).set_index("seed")["test_loss"].to_dict()
        for name, method in ((experiment, test.method), (test.other, other_method))
    )
    if not set(own) & set(other):
        raise Missing(f"a seed that {experiment} and {test.other} share")
    gap = statistics.paired_difference(own, other)
    against = f"{other_method} in {test.other}"
    found = Found(gap.mean, gap.low, gap.high, f"difference of test losses, {LOSS}", against, f"{gap.n} seeds")
    return [_over_gain(found, test.method, test.other, study) if test.as_share_of_gain else found]


def regret(test: listing.Regret, experiment: str, study: Study) -> list[Found]:
    """Test loss with taken weights minus that with the model's own, as a share of what its own gain."""
    study.require(test.own, test.method)
    facts = study.experiments[experiment]
    rows = study.rows("transfer", experiment=facts["weights_from"], for_model=facts["model"], method=test.method)
    rows = rows.dropna(subset=["regret"])
    if rows.empty:
        raise Missing(f"a model trained on taken and on its own weights in {experiment} and {test.own}")
    row = rows.iloc[0]
    found = Found(row["regret"], row["low"], row["high"], f"regret, {LOSS}", f"{test.method} in {test.own}")
    return [_over_gain(found, test.method, test.own, study)]


def _over_gain(found: Found, method: str, experiment: str, study: Study) -> Found:
    """A loss of quality divided by what `method` gains over equal weights in `experiment`; no number where that is not sure."""
    _, difference, high = _gain(method, experiment, study)
    quantity = f"{found.quantity.split(',')[0]}, as a share of the gain over equal weights in {experiment}"
    if not high < 0:
        return Found(nan, nan, nan, quantity, found.against, "no gain over equal weights is sure, so no share of it")
    value, low, high = (number / -difference for number in found[:3])
    remark = f"gain {-difference:.4f} {LOSS}, its own uncertainty left out"
    return Found(value, low, high, quantity, found.against, "; ".join(filter(None, [found.why, remark])))


def differ(test: listing.Differ, experiment: str, study: Study) -> list[Found]:
    """How far two models' weights lie apart beyond what seeds differ by: `apart`, with a jackknife interval over seeds."""
    study.require(test.other, test.method)
    tables = [
        study.rows("weights", experiment=name, method=test.method).pivot(
            index="seed", columns="source", values="weight"
        )
        for name in (experiment, test.other)
    ]
    if set(tables[0].columns) != set(tables[1].columns):
        raise Missing(f"the same sources in {experiment} and {test.other}")
    seeds = [seed for seed in tables[0].index if seed in tables[1].index]
    first, second = (table.loc[seeds, tables[0].columns].to_numpy() for table in tables)
    quantity = "total variation between models beyond that between seeds"
    against = f"{test.method} in {test.other}"
    if len(seeds) < FEWEST:
        return [
            Found(nan, nan, nan, quantity, against, f"{len(seeds)} seeds; {FEWEST} are needed to know their spread")
        ]
    value, low, high = apart_interval(first, second)
    return [Found(value, low, high, quantity, against, f"{len(seeds)} seeds; jackknife interval over them")]


def apart(first: np.ndarray, second: np.ndarray) -> float:
    """Mean total variation between weights of two models minus that between two seeds of one, mean of both models.

    `first`, `second`: shape (seeds, sources). This is half the energy distance with the metric of total variation (Székely and
    Rizzo 2013, Journal of Statistical Planning and Inference 143, 1249): 0 in expectation where both have one distribution.
    """

    def mean_distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return np.abs(one[:, None] - other[None]).sum(-1) / 2

    n = len(first)
    within = [mean_distance(group, group).sum() / (n * (n - 1)) for group in (first, second)]
    return float(mean_distance(first, second).mean() - np.mean(within))


def apart_interval(first: np.ndarray, second: np.ndarray) -> tuple[float, float, float]:
    """`apart` with a 95 % t-interval from the jackknife over seeds, each left out of both models at once."""
    n = len(first)
    left_out = np.array([apart(np.delete(first, i, 0), np.delete(second, i, 0)) for i in range(n)])
    value = apart(first, second)
    # The interval of a mean of pseudo-values, moved to the statistic itself.
    pseudo = statistics.mean_interval((n * value - (n - 1) * left_out).tolist())
    half = (pseudo.high - pseudo.low) / 2
    return value, value - half, value + half


def memory(test: listing.Memory, experiment: str, study: Study) -> list[Found]:
    """Memory over that of another experiment: computed, the same for every seed, or measured, mean over seeds."""
    study.require(test.other, test.method)
    if test.how == "held":
        (one, own), (two, other) = (_held(name, study) for name in (experiment, test.other))
        share = one / two
        sizes = f"{one / 1e9:.4g} of {two / 1e9:.4g} GB; {own} against {other}; exact"
        return [Found(share, share, share, "parameters, gradients and states, computed, as a share", test.other, sizes)]
    own, other = (
        study.rows("peak_memory", experiment=name, method=test.method).set_index("seed")["peak_gb"]
        for name in (experiment, test.other)
    )
    seeds = [seed for seed in own.index if seed in other.index]
    if not seeds:
        raise Missing(f"peak memory of {test.method} in {experiment} and {test.other}")
    mean, low, high, n = statistics.mean_interval((own[seeds] / other[seeds]).tolist())
    sizes = f"{own[seeds].mean():.4g} of {other[seeds].mean():.4g} GB; {n} seeds"
    return [Found(mean, low, high, "peak memory, measured, as a share", test.other, sizes)]


def _held(experiment: str, study: Study) -> tuple[float, str]:
    """Bytes held while the experiment's model learns weights, and what trains."""
    model = study.experiments[experiment]["model"]
    rows = study.rows("memory", model=model, job="weights", own="yes")
    if rows.empty:
        raise Missing(f"the memory of model {model}")
    return float(rows["total"].iloc[0]), rows["trains"].iloc[0]


def finished(test: listing.Finished, experiment: str, study: Study) -> list[Found]:
    """With how many seeds weights were learned, counted."""
    seeds = study.rows("weights", experiment=experiment, method=test.method)["seed"].nunique()
    return [Found(seeds, seeds, seeds, "seeds with which the weights were learned", why="counted")]


KINDS = {
    listing.Share: share,
    listing.Gain: gain,
    listing.Benchmark: benchmark,
    listing.Baselines: baselines,
    listing.Pair: pair,
    listing.Regret: regret,
    listing.Differ: differ,
    listing.Memory: memory,
    listing.Finished: finished,
}
