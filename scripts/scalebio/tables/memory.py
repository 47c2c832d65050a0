"""The table of memory: what training each model of the study holds, by what trains, as `memory_by_mode` predicts it."""

import pandas as pd

from scalebio.tables.readable import Document, document, grid, name, strong

COLUMNS = ["model", "model_parameters", "job", "trains", "own", "parameters", "gradients", "states", "total"]
COLUMNS += ["processes", "per_process"]


def table(predictions: list[dict]) -> pd.DataFrame:
    """One row a model, job and way to train; bytes. `own` is yes for what the study sets; one of `processes` holds `per_process`."""
    rows = [
        {"model": one["model"], "model_parameters": one["parameters"]} | row | {"own": "yes" if row["own"] else ""}
        for one in predictions
        for row in one["rows"]
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def readable(frame: pd.DataFrame) -> Document:
    """A section a model, in GB."""

    def gigabytes(value: float) -> str:
        return f"{value / 1e9:.3g}" if value < 1e9 else f"{value / 1e9:.1f}"

    header = ["job", "what trains", "parameters", "gradients", "states", "together", "of one process"]
    sections = []
    for model, part in frame.groupby("model", sort=False):
        rows = [
            [row.job, strong(row.trains) if row.own else row.trains]
            + [gigabytes(getattr(row, key)) for key in ("parameters", "gradients", "states", "total", "per_process")]
            for row in part.itertuples()
        ]
        one = part.iloc[0]
        head = f"{name(model)}: {one['model_parameters'] / 1e6:,.2f} million parameters, {one['processes']} processes"
        sections.append((head.replace(", 1 processes", ", 1 process"), grid(header, rows, left=2)))
    text = (
        "Predicted, not measured, in GB (a billion bytes), all float32: what is held between the backward pass and the optimiser's "
        "step, without activations. Learning weights holds two models, u and w, with the gradients of one at a time; "
        "fine-tuning holds one. LISA trains γ layers at a time, and embeddings and head unless frozen; LoRA's frozen weights are "
        f"held once where no process splits them. {strong('Strong')}: as the study sets it."
    )
    return document("Memory by what trains", text, sections)
