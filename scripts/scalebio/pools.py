"""The pool of one experiment: its training rows by source, its validation rows and its test rows, kept apart.

A validation or test prompt that also stands in a training source is leakage, whatever the answer there: the row would
be learnt and then measured. It is refused, or dropped from the training sources, and counted either way; a control that
plants a leak on purpose may allow it. Draws depend on the sources' names only, so experiments that share a reference
share its rows, and seeds share everything.
"""

import unicodedata
from collections import Counter
from dataclasses import replace

from scalebio import records as records_module
from scalebio.allotment import allot
from scalebio.config import PoolSettings, Reference
from scalebio.errors import UserError
from scalebio.records import Record
from scalebio.sources import DATA_SEED
from scalebio.streams import stream


def normalised(text: str) -> str:
    """Text as compared for duplicates: NFKC, case folded, runs of white space made one space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def prompt_key(record: Record) -> str:
    """What must not stand in both training and reference: the prompt, or for plain text, which has none, the text."""
    return normalised(record.prompt or "\n".join(record.answers))


def exact_key(record: Record) -> tuple[str, ...]:
    """Prompt and every answer; equal for rows that are the same in all but case and white space."""
    return (prompt_key(record), *map(normalised, record.answers))


def build(
    name: str, experiment: PoolSettings, reference: Reference, sources: dict[str, list[Record]]
) -> tuple[dict[str, list[Record]], dict]:
    """The pool of experiment `name` from the records of all its training and reference sources.

    Returns {"train": rows, "validation": rows, "test": rows} and the manifest that becomes pool.json. Raises UserError
    when a source is missing or too small, on leakage under `leakage: refuse`, or when nothing is left of a source.
    """
    needed = dict.fromkeys([*experiment.sources, *reference.sources])
    if missing := [source for source in needed if source not in sources]:
        raise UserError(f"experiment `{name}`: no records were given for its sources {', '.join(missing)}.")
    shares = {"validation": reference.validation, "test": reference.test or reference.validation}
    rows = {"validation": reference.validation_rows, "test": reference.test_rows}
    where = f"experiment `{name}`, reference `{experiment.reference}`"

    validation, left, _ = _take(where, "validation", allot(rows["validation"], shares["validation"]), sources, set())
    seen = {exact_key(record) for record in validation}
    test, _, duplicates = _take(where, "test", allot(rows["test"], shares["test"]), sources | left, seen)

    training = {source: sources[source] for source in experiment.sources}
    training, leakage = _without_leaks(name, training, validation + test, experiment.leakage)
    train = [record for source, kept in training.items() for record in _shuffled(source, kept)]
    pool = {"train": train, "validation": validation, "test": test}
    manifest = {
        "experiment": name,
        "reference": experiment.reference,
        "rows": {part: dict(Counter(record.source for record in records)) for part, records in pool.items()},
        "shares": shares,
        "sources": {source: records_module.sha256(sources[source]) for source in needed},
        "sha256": {part: records_module.sha256(records) for part, records in pool.items()},
        "test_duplicates_removed": duplicates,
        "leakage": leakage,
    }
    return pool, manifest


def _take(
    where: str, part: str, counts: dict[str, int], sources: dict[str, list[Record]], seen: set[tuple[str, ...]]
) -> tuple[list[Record], dict[str, list[Record]], dict[str, int]]:
    """Draw `counts` rows per source without replacement, leaving out rows whose exact key is in `seen`.

    Returns the rows (category filled in), what is left of each source, and how many rows `seen` left out.
    """
    taken, left, duplicates = [], {}, {}
    for source, count in counts.items():
        fresh = [record for record in sources[source] if exact_key(record) not in seen] if seen else sources[source]
        duplicates[source] = len(sources[source]) - len(fresh)
        if count > len(fresh):
            raise UserError(
                f"{where}: asks for {count} {part} rows of source `{source}`, but only {len(fresh)} are there"
                f"{' after the validation rows' if part == 'test' else ''}{_repeating(duplicates[source])}. Ask for fewer, or add "
                "rows to it."
            )
        order = stream(DATA_SEED, "reference", part, source).permutation(len(fresh))
        taken += [replace(fresh[i], category=fresh[i].category or source) for i in order[:count]]
        left[source] = [fresh[i] for i in order[count:]]
    return taken, left, duplicates


def _repeating(rows: int) -> str:
    return f" and without the {rows} that repeat one of them" if rows else ""


def _without_leaks(
    name: str, training: dict[str, list[Record]], reference: list[Record], action: str
) -> tuple[dict[str, list[Record]], dict]:
    """The training sources without rows whose prompt is a reference row's, and the counts; or a refusal.

    Under `allow` the rows stay and are counted all the same.
    """
    prompts, exact = {prompt_key(record) for record in reference}, {exact_key(record) for record in reference}
    kept, leaked = {}, {}
    for source, records in training.items():
        leaked[source] = [record for record in records if prompt_key(record) in prompts]
        clean = [record for record in records if prompt_key(record) not in prompts]
        kept[source] = records if action == "allow" else clean
    if action == "refuse" and any(leaked.values()):
        listed = ", ".join(
            f"{source}: {len(rows)} of {len(training[source])}" for source, rows in leaked.items() if rows
        )
        example = next(row for rows in leaked.values() for row in rows)
        text = prompt_key(example)
        raise UserError(
            f"experiment `{name}`: validation or test prompts also stand in training sources ({listed} rows). "
            f"First: {example.name}: {text[:80]!r}{'...' if len(text) > 80 else ''}. "
            f"Remove them, or set `experiments.{name}.leakage: drop` to leave those rows out of training."
        )
    if empty := [source for source, rows in kept.items() if not rows]:
        raise UserError(
            f"experiment `{name}`: every row of source `{empty[0]}` has a prompt that is also in the validation or "
            "test rows, so nothing is left to train on. Use other rows for the reference."
        )
    return kept, {
        "action": action,
        "same_prompt": {source: len(rows) for source, rows in leaked.items()},
        "same_prompt_and_answer": {
            source: sum(exact_key(record) in exact for record in rows) for source, rows in leaked.items()
        },
        "rows": {source: [record.row for record in rows] for source, rows in leaked.items()},
    }


def _shuffled(source: str, records: list[Record]) -> list[Record]:
    """All rows in a seeded order, so that the first n of them are a random sample (what `pool_rows` takes)."""
    return [records[i] for i in stream(DATA_SEED, "pool", source).permutation(len(records))]
