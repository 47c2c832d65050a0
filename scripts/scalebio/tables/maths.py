"""Tables of GSM8K and MATH: one file of scores a run, one of differences an experiment, each stacked as it is."""

import pandas as pd

from scalebio.errors import UserError
from scalebio.maths import comparisons, scores
from scalebio.tables import tidy
from scalebio.tables.runs import Run


def load_scores(path: str) -> pd.DataFrame:
    """math/scores.csv, checked."""
    return tidy.read_csv(path, scores.COLUMNS)


def load_differences(path: str) -> pd.DataFrame:
    """math/differences.csv, checked; "all" stands among its seeds, so they are text."""
    return tidy.read_csv(path, comparisons.COLUMNS, text={"seed"})


LOADERS = {"math": {"math": load_scores}, "math_differences": {"math_differences": load_differences}}


def scores_of(found: list[tuple[Run, pd.DataFrame]]) -> pd.DataFrame:
    """The scores of every run."""
    frames = [data[scores.COLUMNS].assign(**run.columns)[[*run.columns, *scores.COLUMNS]] for run, data in found]
    return pd.concat(frames, ignore_index=True)


def differences(settings: dict) -> pd.DataFrame:
    """The differences of every experiment, from {"experiments": {NAME: {"math_differences": PATH}}}; UserError where none is."""
    key = "math_differences"
    files = {name: facts[key] for name, facts in settings.get("experiments", {}).items() if facts.get(key)}
    if not files:
        raise UserError(f"--settings: no experiment names a file for the table {key}; give one {key!r}.")
    frames = [load_differences(path)[comparisons.COLUMNS].assign(experiment=name) for name, path in files.items()]
    return pd.concat(frames, ignore_index=True)[["experiment", *comparisons.COLUMNS]]
