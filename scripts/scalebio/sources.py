"""From a study file's `sources` entry to records: read or generate, filter, take a part, draw rows, spoil answers.

Each step has its own random stream. The shuffle behind `part` is keyed by the rows themselves, so that parts of the
same data are disjoint whichever sources take them and wherever the data lie; all other draws are keyed by the
source's name. None depends on a run's seed: every seed of an experiment sees the same data.
"""

import hashlib
from pathlib import Path

import numpy as np

from scalebio import hub_data
from scalebio import records as records_module
from scalebio.config import Source
from scalebio.errors import UserError
from scalebio.origins import HubData
from scalebio.records import Record
from scalebio.streams import stream

DATA_SEED = 0
BLANK = "."


def load(name: str, source: Source, offline_data: str | None = None) -> tuple[list[Record], dict]:
    """Records of one source and the manifest that says how they came about.

    `offline_data`: folder in which `local` files stand in for the hub. The manifest has `source`, `rows`, `sha256` of
    the records, `licence`, `origin`, `rows_read`, `dropped_unanswered`, `dropped_irregular`, `dropped_long`,
    `corrupted_rows`.
    Raises UserError for anything unreadable, unanswered, empty, or too small for what is asked.
    """
    if source.generator:
        from scalebio import generators

        records = generators.generate(name, source.generator, source.rows, DATA_SEED)
        places = [f"row {number}" for number in range(1, len(records) + 1)]
        origin = {"kind": "generator", "generator": source.generator.model_dump()}
    else:
        records, places, origin = _read(name, source, offline_data)
    rows_read, key = len(records), _content_key(records)

    records, unanswered = _answered(name, records, places, origin, source.drop_unanswered)
    records, irregular = _in_turns(name, records, source.drop_irregular)
    records, too_long = _short_enough(name, records, source)
    if source.part:
        order = stream(DATA_SEED, "part", key).permutation(len(records))
        records = [records[i] for i in np.array_split(order, source.part.of)[source.part.index]]
        if not records:
            raise UserError(
                f"source `{name}`: part {source.part.index} of {source.part.of} is empty: {rows_read} rows in all."
            )
    if source.rows:
        records = _draw(name, records, source.rows)
    corrupted = _corrupt(name, records, source)
    manifest = {
        "source": name,
        "rows": len(records),
        "sha256": records_module.sha256(records),
        "licence": source.licence,
        "origin": origin,
        "rows_read": rows_read,
        "dropped_unanswered": unanswered,
        "dropped_irregular": irregular,
        "dropped_long": too_long,
        "corrupted_rows": corrupted,
        "corruption": source.corrupt.model_dump() if source.corrupt else None,
        "part": source.part.model_dump() if source.part else None,
    }
    return records, manifest


def _read(name: str, source: Source, offline_data: str | None) -> tuple[list[Record], list[str], dict]:
    """Records as they lie in the file or data set, the place of each, and where they came from."""
    if source.hub and not offline_data:
        return _from_hub(name, source.hub, source.format)
    if source.hub and not source.local:
        raise UserError(
            f"source `{name}`: `offline_data` is set, so `{source.hub.id}` is not read from the hub; "
            "give the source a `local` file inside that folder."
        )
    path = local_file(source, offline_data)
    records, places = records_module.read_file(path, name, source.format)
    origin = {
        "kind": "file",
        "path": source.file or source.local,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    return records, places, origin | ({"stands_in_for": source.hub.model_dump()} if source.hub else {})


def local_file(source: Source, offline_data: str | None = None) -> Path | None:
    """The file that a source is read from; None for generators and what comes from the hub."""
    if source.file:
        return Path(source.file)
    return Path(offline_data, source.local) if offline_data and source.local else None


def _from_hub(name: str, hub: HubData, format: str) -> tuple[list[Record], list[str], dict]:
    rows, commit = hub_data.rows(hub, f"source `{name}`")
    records, places = records_module.convert(rows, name, format, hub.id)
    return records, places, {"kind": "hub", **hub.model_dump(), "revision": commit}


def _content_key(records: list[Record]) -> str:
    """A name for the raw rows that does not depend on the source's name or on where they lie."""
    return records_module.sha256(Record(record.messages, "", record.row) for record in records)


def _answered(
    name: str, records: list[Record], places: list[str], origin: dict, drop: bool
) -> tuple[list[Record], int]:
    kept = [record for record in records if record.answered]
    missing = len(records) - len(kept)
    if missing and not drop:
        where = [place for place, record in zip(places, records, strict=True) if not record.answered]
        listed = ", ".join(where[:10]) + (", ..." if missing > 10 else "")
        of = origin.get("path") or origin.get("id") or origin["kind"]
        raise UserError(
            f"source `{name}`, {of}: {missing} of {len(records)} rows have no answer ({listed}). "
            f"Mend them, or set `sources.{name}.drop_unanswered: true` to leave them out."
        )
    if not kept:
        raise UserError(
            f"source `{name}`: none of its {len(records)} rows has an answer. Is it under another key? config/README.md lists "
            "the keys of every format."
        )
    return kept, missing


def _in_turns(name: str, records: list[Record], drop: bool) -> tuple[list[Record], int]:
    if not drop:
        return records, 0
    kept = [record for record in records if record.alternates]
    if not kept:
        raise UserError(
            f"source `{name}`: in none of its {len(records)} rows user and assistant take turns, the user first, so "
            "`drop_irregular` leaves nothing."
        )
    return kept, len(records) - len(kept)


def _short_enough(name: str, records: list[Record], source: Source) -> tuple[list[Record], int]:
    count = len(records)
    lengths = {"max_characters": Record.characters.fget, "max_prompt_bytes": Record.prompt_bytes.fget}
    for key, length in lengths.items():
        limit = getattr(source, key)
        if limit is None:
            continue
        kept = [record for record in records if length(record) <= limit]
        if not kept:
            shortest = min(map(length, records))
            raise UserError(f"source `{name}`: no row has at most {key} = {limit}; the shortest has {shortest}.")
        records = kept
    return records, count - len(records)


def _draw(name: str, records: list[Record], rows: int) -> list[Record]:
    if rows > len(records):
        raise UserError(
            f"source `{name}`: asks for rows = {rows}, but only {len(records)} are there after filters and `part`. "
            "Ask for fewer, or leave `rows` unset to take all."
        )
    return [records[i] for i in stream(DATA_SEED, "rows", name).choice(len(records), rows, replace=False)]


def _corrupt(name: str, records: list[Record], source: Source) -> int:
    """Spoil answers in place; returns how many rows' answers changed.

    Every assistant message of a spoiled row is spoiled. Its checker stays: it belongs to the question.
    """
    if source.corrupt is None:
        return 0
    draws = stream(DATA_SEED, "corrupt", name)
    spoiled = np.flatnonzero(draws.random(len(records)) < source.corrupt.rate)
    slots = [(i, k) for i in spoiled for k, turn in enumerate(records[i].messages) if turn["role"] == "assistant"]
    own = [records[i].messages[k]["content"] for i, k in slots]
    given = [BLANK] * len(slots) if source.corrupt.how == "blank" else [own[j] for j in derangement(own, draws)]
    changed = set()
    for (i, k), old, new in zip(slots, own, given, strict=True):
        records[i].messages[k]["content"] = new
        if new != old:
            changed.add(i)
    return len(changed)


def derangement(texts: list[str], draws: np.random.Generator) -> np.ndarray:
    """A random permutation p such that texts[p[i]] != texts[i] for as many i as can be.

    Starts from a uniform permutation and mends each i that got its own text by a swap with a random partner that
    leaves both right. Where no partner exists, 2 m - n of the n slots must keep their text whatever is done, m being
    the count of the commonest text, and exactly so many do.
    """
    codes = np.unique(np.array(texts, dtype=object), return_inverse=True)[1] if texts else np.array([], dtype=int)
    order = draws.permutation(len(texts))
    for i in np.flatnonzero(codes[order] == codes):
        if codes[order[i]] != codes[i]:
            continue  # mended as another's partner
        partners = np.flatnonzero((codes[order] != codes[i]) & (codes != codes[order[i]]))
        if len(partners):
            j = draws.choice(partners)
            order[i], order[j] = order[j], order[i]
    return order
