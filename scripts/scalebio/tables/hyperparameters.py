"""The table of hyper-parameters: what each run was made with, read from what the runs recorded, not from the study's file."""

import json

import pandas as pd

from scalebio.errors import UserError
from scalebio.tables.readable import Document, document, grid, name
from scalebio.tables.runs import Run

COLUMNS = ["experiment", "model", "method", "stage", "setting", "value"]
# What makes a run one of several, and paths; no settings.
IDENTITY = {"experiment", "method", "seed", "run", "sources", "model", "expected"}


def flat(settings: dict, prefix: str = "") -> dict[str, str]:
    """Dotted key → value as JSON, without what is not set; the keys of sections named `settings` or `finetuning` go up."""
    found = {}
    for key, value in settings.items():
        if isinstance(value, dict) and value:
            found |= flat(value, "" if key in ("settings", "finetuning") else f"{prefix}{key}.")
        elif value is not None and value != {}:
            found[f"{prefix}{key}"] = value if isinstance(value, str) else json.dumps(value)
    return found


def table(
    weights: list[tuple[Run, dict]], models: list[tuple[Run, dict]], experiments: dict[str, dict]
) -> pd.DataFrame:
    """One row an experiment, method, stage and setting, the same for all seeds.

    Takes weights.json and the final model's provenance.json of every run, and {experiment: {"model"}}. Raises UserError where
    seeds of one method were made with different settings.
    """
    found = {}
    for stage, runs in (("weights", weights), ("finetuning", models)):
        for run, data in runs:
            settings = {key: value for key, value in data["provenance"]["settings"].items() if key not in IDENTITY}
            if stage == "weights" and "transferred" in data:
                settings = {"weights_from": data["transferred"]["from"]}
            for setting, value in flat(settings).items():
                where = (run.experiment, run.method, stage, setting)
                if found.setdefault(where, value) != value:
                    raise UserError(
                        f"{run.experiment}/{run.method}/seed{run.seed}: `{setting}` of {stage} is {value}, but {found[where]} "
                        "with another seed. Delete the older result and run its rule again."
                    )
    rows = [
        (experiment, experiments[experiment]["model"], method, stage, setting, value)
        for (experiment, method, stage, setting), value in found.items()
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def readable(frame: pd.DataFrame) -> Document:
    """A section an experiment and stage: settings down, methods across."""
    sections = []
    for (experiment, model, stage), part in frame.groupby(["experiment", "model", "stage"], sort=False):
        values = part.pivot(index="setting", columns="method", values="value")
        values = values.loc[part["setting"].unique(), part["method"].unique()].fillna("")
        rows = [[name(setting), *map(str, line)] for setting, line in zip(values.index, values.to_numpy(), strict=True)]
        header = ["setting", *map(name, values.columns)]
        sections.append((f"{name(experiment)}, model {name(model)}: {stage}", grid(header, rows)))
    text = (
        "The settings that the runs recorded, defaults included. Weights: how a method finds them; finetuning: how the final "
        "model is trained. An empty cell: the method has no such setting, or it is not set. What each means: config/README.md."
    )
    return document("Hyper-parameters", text, sections)
