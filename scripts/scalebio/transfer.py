"""Weights learned with one model, for another: allowed on the same sources only, and whatever else differs is recorded.

A weight belongs to a source's rows. Another model, tokenizer or chat template reads the same rows in another way; whether the
weights are then still good is what a study of transfer asks, so that is said and not refused.
"""

import shutil
from pathlib import Path

import pyarrow.parquet as pq

from scalebio.errors import UserError
from scalebio.files import read_json, replacing
from scalebio.provenance import sha256


def take(
    learned: dict, experiment: str, sources: dict[str, str], origin: str, their_sources: dict[str, str]
) -> dict[str, float]:
    """The weights in `learned` (a weights.json of experiment `origin`), in the order of `sources`.

    `sources`, `their_sources`: source → sha256 of its rows, for the experiment that takes the weights and the one that learned
    them. Raises UserError where names or rows differ.
    """
    where = f"experiment `{experiment}` takes its weights from `{origin}`"
    weights = learned["weights"]
    if apart := sorted(set(sources) ^ set(weights)):
        raise UserError(
            f"{where}, and {', '.join(apart)} stand in only one of the two. Weights belong to sources: give both experiments "
            "the same, or let this one learn its own."
        )
    changed = [name for name in sources if sources[name] != their_sources.get(name)]
    if changed:
        seen = "; ".join(
            f"{name}: {sources[name][:12]} here, {str(their_sources.get(name))[:12]} there" for name in changed
        )
        raise UserError(
            f"{where}, and the rows of a source are not the same (sha256 {seen}). Give both experiments the same data, or "
            "learn the weights of the other again on these rows."
        )
    return {name: weights[name] for name in sources}


def take_scores(theirs: str | Path, ours: str | Path, train: str | Path, their_train: str | Path) -> None:
    """Copy the file `theirs` of row scores to `ours`; scores belong to rows of a pool, `train` and `their_train`.

    Raises UserError where there are scores and the pools differ, as they do where other rows were dropped as leaks.
    """
    if pq.read_metadata(theirs).num_rows and sha256(Path(train)) != sha256(Path(their_train)):
        raise UserError(
            f"{theirs} has scores of single rows, and {train} is not the pool they were given to, {their_train}. Give both "
            "experiments the same sources and reference, or a method that chooses no single rows."
        )
    with replacing(ours) as temporary:
        shutil.copyfile(theirs, temporary)


def reading(base: str | Path) -> dict[str, str | None]:
    """How a base model reads rows: sha256 of its tokenizer and chat template. `base`: provenance.json in its folder."""
    tokenizer = Path(base).parent / "tokenizer.json"
    return {
        "tokenizer": sha256(tokenizer) if tokenizer.is_file() else None,
        "template": read_json(base)["provenance"].get("chat_template_sha256"),
    }


def record(origin: str, model: str, ours: dict, theirs: dict) -> dict:
    """What weights.json says of a transfer: experiment and model the weights come from, and what reads differently."""
    changed = {f"{key}_changed": ours[key] != theirs[key] for key in ("template", "tokenizer")}
    return {"from": origin, "model": model, **changed}
