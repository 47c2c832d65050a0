"""Which files of a run each table reads, their checks, and the step from a job's settings to a finished table."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from scalebio.errors import UserError
from scalebio.files import read_json
from scalebio.tables import (
    ablations,
    comparison,
    gates,
    hyperparameters,
    judged,
    maths,
    memory,
    runs,
    sources,
    tidy,
    training_costs,
    transfer,
)
from scalebio.tables.runs import Run


def _json_with(path: str, *keys: str) -> dict:
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file. Run the rule that makes it first.")
    data = read_json(path)
    missing = [key for key in keys if not isinstance(data, dict) or key not in data]
    if missing:
        raise UserError(f"{path}: no key {', '.join(missing)}. Delete the file and run the rule that makes it again.")
    return data


def load_trajectory(path: str) -> pd.DataFrame:
    """trajectory.parquet, checked; a method that learns nothing leaves it without rows."""
    return tidy.read_parquet(path, ["step", "source", "quantity", "value"])


def load_training(path: str) -> pd.DataFrame:
    """training.parquet, checked."""
    return tidy.read_parquet(path, ["step", "split", "loss"])


def load_weights(path: str) -> dict:
    """weights.json, checked."""
    return _json_with(path, "weights")


def load_costed_weights(path: str) -> dict:
    """weights.json with what it cost, checked."""
    return _json_with(path, "weights", "cost")


def load_recorded(path: str) -> dict:
    """A JSON file that says how it was made, checked."""
    return _json_with(path, "provenance")


def load_metrics(path: str) -> dict:
    """metrics.json, checked."""
    return _json_with(path, "test_loss")


def load_mixture(path: str) -> dict:
    """mixture.json, checked: every source has every field."""
    data = _json_with(path, "sources", "truncated")
    for source, facts in data["sources"].items():
        missing = [key for key in runs.MIXTURE_FIELDS if key not in facts]
        if missing:
            raise UserError(f"{path}: sources.{source} has no {', '.join(missing)}. Run the mixture rule again.")
        if source not in data["truncated"]:
            raise UserError(f"{path}: truncated has no {source}. Run the mixture rule again.")
    return data


def load_benchmark(path: str) -> pd.DataFrame:
    """A Snakemake benchmark file, checked; its dashes and NA stay as they are."""
    try:
        frame = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such benchmark file. Run the rule that makes it first.") from error
    except pd.errors.EmptyDataError as error:
        raise UserError(f"{path}: empty benchmark file. Delete it and run its rule again.") from error
    return tidy.check(frame, ["s", "max_rss", "cpu_time"], path)


LOADERS: dict[str, dict[str, Callable]] = {
    "trajectories": {"trajectory": load_trajectory, "weights": load_weights},
    "weights": {"weights": load_weights},
    "peak_memory": {"trajectory": load_trajectory},
    "weight_intervals": {"weights": load_weights},
    "test_loss": {"metrics": load_metrics},
    "training_curves": {"training": load_training, "trajectory": load_trajectory},
    **judged.LOADERS,
    **maths.LOADERS,
    "mixtures": {"mixture": load_mixture},
    "transfer": {"weights": load_weights, "metrics": load_metrics},
    "method_comparison": {"weights": load_costed_weights, "metrics": load_metrics, "mixture": load_mixture},
    "ablations": {"weights": load_weights, "metrics": load_metrics},
    "hyperparameters": {"weights": load_recorded, "finetuned": load_recorded},
    "training_costs": {
        "weights": load_recorded,
        "finetuned": load_recorded,
        "mixture": load_mixture,
        "trajectory": load_trajectory,
        "learning": load_benchmark,
        "tuning": load_benchmark,
    },
    "costs": {},
    "sources": {},
    "memory": {},
    "gates": {},
}


def collect(name: str, settings: dict) -> dict[str, list[tuple[Run, object]]]:
    """Read the runs' files: {kind of file: [(run, data), ...]}, in the order of the settings.

    A run that does not name a kind of file has none and is left out. Raises UserError for a run listed twice, one
    without identity, or when nothing is left.
    """
    found = {key: [] for key in LOADERS[name]}
    seen = set()
    for entry in settings.get("runs", []):
        missing = [key for key in runs.IDENTITY if key not in entry]
        if missing:
            raise UserError(f"--settings: a run has no {', '.join(missing)}: {entry}")
        run = Run(str(entry["experiment"]), str(entry["method"]), int(entry["seed"]))
        if run in seen:
            raise UserError(f"--settings: run {run.experiment}/{run.method}/seed{run.seed} is listed twice.")
        seen.add(run)
        for key, load in LOADERS[name].items():
            if entry.get(key):
                found[key].append((run, load(entry[key])))
    if not any(found.values()):
        raise UserError(
            f"--settings: no run names a file for the table {name}; give each run "
            f"{' or '.join(repr(key) for key in LOADERS[name])}."
        )
    return found


def paths(settings: object) -> list[str]:
    """Every file that the settings of a table name, wherever they do, each once."""
    if isinstance(settings, str):
        return [settings] if "/" in settings and Path(settings).is_file() else []
    inner = settings.values() if isinstance(settings, dict) else settings if isinstance(settings, list) else []
    return list(dict.fromkeys(path for value in inner for path in paths(value)))


def build(name: str, settings: dict) -> pd.DataFrame:
    """The table `name` from the files that `settings` lists (its shape stands in scripts/make_table.py)."""
    if name == "costs":
        stages = settings.get("stages", [])
        if not stages:
            raise UserError("--settings: `stages` is empty; list the benchmark files as {stage, path}.")
        return runs.costs([(stage["stage"], load_benchmark(stage["path"])) for stage in stages])
    if name == "sources":
        manifests = {source: _json_with(path, "origin", "rows") for source, path in settings["manifests"].items()}
        return sources.table(manifests, {source: settings["sources"][source] for source in settings["order"]})
    if name == "memory":
        return memory.table([_json_with(path, "model", "rows") for path in settings["predictions"]])
    if name == "gates":
        return gates.table(settings["verdicts"], settings["fatal"])
    if name in judged.LOADERS:
        return judged.build(name, settings)
    if name == "math_differences":
        return maths.differences(settings)
    if name == "transfer" and not settings.get("pairs"):
        raise UserError("--settings: `pairs` is empty; list the experiments to compare (see make_table.py).")
    found = collect(name, settings)
    if name in ("weights", "weight_intervals"):
        frame = getattr(runs, name)(found["weights"], settings.get("experiments", {}))
    elif name == "trajectories":
        frame = runs.trajectories(found["trajectory"], found["weights"])
    elif name == "math":
        frame = maths.scores_of(found["math"])
    elif name == "transfer":
        frame = transfer.table(found["weights"], found["metrics"], settings["pairs"])
    elif name == "method_comparison":
        frame = comparison.table(*found.values(), settings["experiments"], settings["epochs"])
    elif name == "ablations":
        frame = ablations.table(*found.values(), settings["variations"], settings["experiments"])
    elif name == "hyperparameters":
        frame = hyperparameters.table(*found.values(), settings["experiments"])
    elif name == "training_costs":
        frame = training_costs.table(found, settings["experiments"], settings["epochs"])
    elif name == "training_curves":
        frame = runs.training_curves(found["training"], found["trajectory"])
    else:
        (data,) = found.values()
        frame = getattr(runs, name)(data)
    if frame.empty:
        read = [run[key] for key in LOADERS[name] for run in settings["runs"] if run.get(key)]
        raise UserError(f"table {name}: the files were read but hold no matching rows: {', '.join(read)}")
    return frame
