"""Tables of what a judge rated: one file an experiment, all its models in it, so that a table is these files stacked.

Each function takes a list of (experiment, its judged models, what its file holds), in the order the rows shall have.
"""

from typing import NamedTuple

import pandas as pd

from scalebio.errors import UserError
from scalebio.files import read_jsonl
from scalebio.mtbench import comparisons, scores
from scalebio.mtbench.scores import Judged
from scalebio.tables import tidy

# "all" stands among the seeds of these, so they are text.
SEEDS_AS_TEXT = {"seed"}


class Experiment(NamedTuple):
    """One experiment: its name, its judged models and what its file of this kind holds."""

    name: str
    runs: list[Judged]
    data: pd.DataFrame | list[dict]


def load_scores(path: str) -> pd.DataFrame:
    """mtbench/scores.csv, checked."""
    return tidy.read_csv(path, scores.COLUMNS)


def load_differences(path: str) -> pd.DataFrame:
    """mtbench/differences.csv, checked."""
    return tidy.read_csv(path, comparisons.COLUMNS, text=SEEDS_AS_TEXT)


def load_judgments(path: str) -> list[dict]:
    """The rows of mtbench/judgments.jsonl; what they hold is checked where it is used."""
    try:
        return read_jsonl(path)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file. Run the rule that makes it first.") from error


LOADERS = {
    "mtbench": {"scores": load_scores},
    "mtbench_differences": {"differences": load_differences},
    "mtbench_repeats": {"judgments": load_judgments},
}


def collect(table: str, settings: dict) -> list[Experiment]:
    """Read what `settings` lists for a table: {"experiments": {NAME: {"runs": [{model_id, method, seed}], KIND: PATH}}}.

    Experiments that name no file of the kind are left out. Raises UserError when nothing is left.
    """
    ((kind, load),) = LOADERS[table].items()
    found = []
    for name, facts in settings.get("experiments", {}).items():
        if facts.get(kind):
            runs = [Judged(run["model_id"], run["method"], int(run["seed"])) for run in facts.get("runs", [])]
            found.append(Experiment(name, runs, load(facts[kind])))
    if not found:
        raise UserError(f"--settings: no experiment names a file for the table {table}; give one {kind!r}.")
    return found


def build(table: str, settings: dict) -> pd.DataFrame:
    """The table `table` (one of LOADERS) from the files that `settings` lists."""
    experiments = collect(table, settings)
    made = {"mtbench": scores_of, "mtbench_differences": differences_of, "mtbench_repeats": repeats_of}[table]
    frames = [made(one) for one in experiments]
    for one, frame in zip(experiments, frames, strict=True):
        frame.insert(0, "experiment", one.name)
    return pd.concat(frames, ignore_index=True)


def scores_of(one: Experiment) -> pd.DataFrame:
    """Scores with the method and seed of each model. Raises UserError where models and runs are not the same."""
    known = {run.model_id: run for run in one.runs}
    if set(one.data["model"]) != set(known):
        apart = sorted(set(one.data["model"]) ^ set(known))
        raise UserError(
            f"scores of {one.name}: {', '.join(apart)} stands in the scores or among the runs only. "
            "The runs of the experiment changed: judge and score them again."
        )
    frame = one.data[scores.COLUMNS].copy()
    frame.insert(0, "method", [known[model].method for model in frame["model"]])
    frame.insert(1, "seed", [known[model].seed for model in frame["model"]])
    return frame


def differences_of(one: Experiment) -> pd.DataFrame:
    """Differences as they are."""
    return one.data[comparisons.COLUMNS].copy()


def repeats_of(one: Experiment) -> pd.DataFrame:
    """Scores after 1, 2, … repeats of the judge (`scores.by_repeats`)."""
    return scores.by_repeats(one.data, one.runs, seed=0)
