"""What would fail or mislead because of the rows themselves: files at fault, pools that cannot be made, rows that stand there more
than once, prompts that leave no room for an answer.

Looked at are sources whose rows the audit has read (`sources.supplies`); the jobs look at all of them, and refuse likewise.
"""

import heapq
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

from scalebio import pools
from scalebio.audit.findings import FAILS, NOTES, WARNS, Finding
from scalebio.audit.sources import Supply, all_read, overlap, pool_sources
from scalebio.config import Experiment, Study
from scalebio.errors import UserError
from scalebio.records import Record, group_by_source

# A copy now and then is no fault of a source; from this share of its rows on it is told.
COPIES = 0.1
# Encoding takes a second for some 3,000 rows: the longest prompts are looked at, and of each source a sample.
LONGEST, SAMPLE = 5_000, 200
# Answers cut in more than this share of the sample are told.
CUT = 0.1


def unusable(study: Study, known: dict[str, Supply], results: Path) -> Iterator[Finding]:
    """Files that cannot be read as the study says, all of them at once; else what is wrong with the pools of their rows."""
    for name, one in known.items():
        if one.fault:
            # The message says what to do.
            yield Finding(FAILS, "file", f"sources.{name}", one.fault)
    # Exact keys take most of the time, and experiments share sources.
    keys = {source: set(map(pools.exact_key, one.records)) for source, one in known.items() if one.records}
    for source, own in keys.items():
        yield from alike(source, known[source].records, len(own))
    for name in study.run:
        yield from in_common(study, name, keys)
        experiment = study.experiments[name]
        if not (rows := all_read(study, name, known)):
            yield from _not_looked_at(study, name, known)
            continue
        try:
            pool, made = pools.build(name, experiment, study.references[experiment.reference], rows)
        except UserError as error:
            yield Finding(FAILS, "rows", f"experiments.{name}", str(error))
            continue
        yield from _left_out(name, experiment, made)
        yield from lengths(study, name, pool, results)


def _not_looked_at(study: Study, name: str, known: dict[str, Supply]) -> Iterator[Finding]:
    """What could not be checked of an experiment, some of whose files were read and some sources not."""
    needed = pool_sources(study, name)
    if any(known[source].records for source in needed) and not any(known[source].fault for source in needed):
        away = ", ".join(f"`{source}`" for source in needed if not known[source].records)
        what = (
            f"leakage and prompts that are too long were not looked for, because the rows of {away} are not read here"
        )
        yield Finding(
            NOTES, "not checked", f"experiments.{name}", what, "the jobs will look, and stop at what they find"
        )


def _left_out(name: str, experiment: Experiment, made: dict) -> Iterator[Finding]:
    """Training rows that `leakage: drop` leaves out."""
    counts = {source: count for source, count in made["leakage"]["same_prompt"].items() if count}
    if counts and experiment.leakage == "drop":
        listed = ", ".join(f"`{source}`: {count:,}" for source, count in counts.items())
        what = f"training rows whose prompt is a validation or test prompt are left out ({listed})"
        yield Finding(NOTES, "leakage", f"experiments.{name}.leakage", what)


# --- rows that stand there more than once --------------------------------------------------------------------------------


def alike(source: str, rows: list[Record], distinct: int) -> Iterator[Finding]:
    """A source many of whose rows are alike, or ask nothing."""
    if len(rows) - distinct > COPIES * len(rows):
        what = f"{len(rows) - distinct:,} of {len(rows):,} rows repeat another row of `{source}`; they count as if they were different"
        yield Finding(WARNS, "copies", f"sources.{source}", what, "keep each row once, unless it should count more")
    bare = sum(not row.prompt.strip() for row in rows)
    if bare > COPIES * len(rows):
        what = (
            f"{bare:,} of {len(rows):,} rows of `{source}` have no prompt: they count as plain text, trained on in full"
        )
        do = "if they should have one, does it stand under another key?"
        yield Finding(NOTES, "plain text", f"sources.{source}", what, do)


def in_common(study: Study, name: str, keys: dict[str, set[tuple[str, ...]]]) -> Iterator[Finding]:
    """Training sources of an experiment with rows in common; `keys` of the rows of all sources that were read."""
    for one, other in combinations(study.experiments[name].sources, 2):
        how = ""
        if one in keys and other in keys:
            shared = len(keys[one] & keys[other])
            if shared > COPIES * min(len(keys[one]), len(keys[other])):
                how = f"have {shared:,} rows in common"
        else:
            how = overlap(study, one, other)
        if how:
            what = f"`{one}` and `{other}` {how}: how a weight is split between the two says little"
            yield Finding(
                WARNS, "copies", f"experiments.{name}.sources", what, "leave one of them out, or take disjoint `part`s"
            )


# --- prompts and answers too long for the model -------------------------------------------------------------------------


def lengths(study: Study, name: str, pool: dict[str, list[Record]], results: Path) -> Iterator[Finding]:
    """Rows of a pool whose prompt leaves no room for an answer, and sources many of whose answers are cut.

    Nothing where the tokenizer is not here yet.
    """
    from scalebio.chat import NoRoom, encode_all

    experiment = study.experiments[name]
    model, key = study.models[experiment.model], f"models.{experiment.model}.max_length"
    try:
        if (tokenizer := _tokenizer(study, name, pool, results / "models" / experiment.model)) is None:
            return
        everything = [row for part in pool.values() for row in part]
        encode_all(heapq.nlargest(LONGEST, everything, key=lambda row: row.prompt_bytes), tokenizer, model.max_length)
        for source, rows in group_by_source(pool["train"], experiment.sources).items():
            sample = encode_all(rows[:SAMPLE], tokenizer, model.max_length)
            cut = sum(row.truncated for row in sample) / len(sample)
            if cut > CUT:
                what = f"{cut:.0%} of {len(sample)} rows of `{source}` are longer, and their answers are cut"
                do = "raise it if their ends matter; longer rows take more memory and time"
                yield Finding(NOTES, "length", key, what, do)
    except NoRoom as error:
        yield Finding(FAILS, "length", key, str(error))
    except UserError as error:
        yield Finding(FAILS, "rows", f"experiments.{name}", str(error))


def _tokenizer(study: Study, name: str, pool: dict[str, list[Record]], fetched: Path):
    """The tokenizer that rows of an experiment will be read with, None if it is not here. Raises UserError if it is unfit."""
    from scalebio import base_models

    experiment = study.experiments[name]
    model = study.models[experiment.model]
    if model.scratch:
        # One that starts from another experiment's model has its tokenizer, too.
        if experiment.start_from:
            return None
        texts = [message["content"] for row in pool["train"] for message in row.messages]
        return base_models.train_tokenizer(texts, model.scratch.vocabulary)
    folder = Path(model.path) if model.path else fetched
    if not (folder / "config.json").is_file():
        return None
    try:
        tokenizer = base_models.load_tokenizer(folder)
    except (OSError, ValueError) as error:
        raise UserError(f"the tokenizer in {folder} cannot be read: {error}") from error
    # What was fetched has its template already.
    if model.path and model.chat_template:
        base_models.set_template(tokenizer, model.chat_template, f"models.{experiment.model}.chat_template")
    return tokenizer
