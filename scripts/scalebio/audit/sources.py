"""What would fail or mislead because of sources and models: access, revisions, licences, leakage, too few rows.

Reads the study, its own files unless they are large, and of results only manifests and verdicts that are there; asks nobody.
"""

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from scalebio.audit.findings import FAILS, NOTES, WARNS, Finding, failed_gate
from scalebio.config import Experiment, Source, Study
from scalebio.errors import UserError
from scalebio.files import read_json
from scalebio.origins import Hub
from scalebio.records import Record
from scalebio.sources import load, local_file

# Licences are matched by what their names say, which is no legal advice.
NON_COMMERCIAL = re.compile(r"\bNC\b|non-?commercial|research[- ]only", re.IGNORECASE)
NO_DERIVATIVES = re.compile(r"\bND\b|no-?deriv", re.IGNORECASE)
NOT_STATED = re.compile(r"not stated|unknown|^\s*$", re.IGNORECASE)
OWN_TERMS = re.compile(r"agreement of its own|terms of its own", re.IGNORECASE)
# Files up to this many bytes are read; larger ones would take an audit more than seconds.
READ = 100_000_000
# Up to so many passes repeated rows are nearly as good as fresh ones: Muennighoff et al., arXiv 2305.16264.
EPOCHS = 4
PINNED, UNVERIFIED, NO_COMMIT = "pinned", "unverified", "no commit"


@dataclass(frozen=True)
class Supply:
    """How many rows a source has, and where that is known from; None where it is not known before the source is read.

    `fault`: why its file cannot be used as the study says; `records`: its rows, where they were read.
    """

    rows: int | None
    source: str
    fault: str = ""
    records: list[Record] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Share:
    """The most that a source can give to the mixture of an experiment, as shares of its rows; None for no limit or not known.

    `once`: without repeating a row; `most`: by its `max_repeat`.
    """

    experiment: str
    source: str
    supply: Supply
    once: float | None
    most: float | None


def used_sources(study: Study) -> dict[str, Source]:
    """Sources of the experiments that are run, each once."""
    names: dict[str, None] = {}
    for name in study.run:
        names |= dict.fromkeys(pool_sources(study, name))
    return {name: study.sources[name] for name in names}


def pool_sources(study: Study, name: str) -> list[str]:
    """Sources that an experiment's pool takes, training sources first, each once."""
    experiment = study.experiments[name]
    return list(dict.fromkeys([*experiment.sources, *study.references[experiment.reference].sources]))


def used_models(study: Study) -> list[str]:
    """Models of the experiments that are run, each once."""
    return list(dict.fromkeys(study.experiments[name].model for name in study.run))


def revision(hub: Hub | None) -> str:
    """Whether a repository's commit is pinned."""
    return NO_COMMIT if hub is None else PINNED if hub.commit else UNVERIFIED


def supply(name: str, source: Source, offline_data: str | None, results: Path, read: bool) -> Supply:
    """Rows of a source after its filters: from its file (if `read`), from its manifest, or from what the study states."""
    file = local_file(source, offline_data)
    if read and file and file.is_file() and file.stat().st_size <= READ:
        rows, fault = _read(name, source.model_dump_json(), offline_data, file.stat().st_mtime_ns)
        return Supply(rows and len(rows), "the file is at fault" if fault else "counted in the file", fault, rows)
    manifest = results / "sources" / f"{name}.json"
    if manifest.is_file():
        return Supply(read_json(manifest)["rows"], "counted when it was read")
    if source.generator:
        return Supply(source.rows, "as many are made")
    if source.rows:
        return Supply(source.rows, "`rows`, if there are so many")
    return Supply(None, "known when it is read")


@functools.cache
def _read(name: str, source: str, offline_data: str | None, changed: int) -> tuple[list[Record] | None, str]:
    """Rows as the job that makes the source will read them, or what it will say; `changed`: when the file last was."""
    try:
        return load(name, Source.model_validate_json(source), offline_data)[0], ""
    except UserError as error:
        return None, str(error)


def supplies(study: Study, results: Path, read: bool = True) -> dict[str, Supply]:
    """Of every source in use."""
    return {
        name: supply(name, source, study.offline_data, results, read) for name, source in used_sources(study).items()
    }


def all_read(study: Study, name: str, known: dict[str, Supply]) -> dict[str, list[Record]]:
    """The rows of all sources that an experiment's pool takes; empty unless every one has been read."""
    rows = {source: known[source].records for source in pool_sources(study, name)}
    return rows if all(rows.values()) else {}


# --- access, revisions, licences -----------------------------------------------------------------------------------------


def access(study: Study, to_fetch: set[str], token: bool) -> Iterator[Finding]:
    """Gated repositories without a token, and commits that are not pinned. `to_fetch`: keys of what is still to be read."""
    for key, hub in hubs(study).items():
        if hub.gated and not token and key in to_fetch:
            yield Finding(
                FAILS,
                "gated",
                key,
                f"{hub.id} lets in only accounts that accepted its conditions, and there is no token here",
                "accept them on the hub and set HF_TOKEN on the machine that downloads",
            )
        if revision(hub) == UNVERIFIED:
            yield Finding(
                WARNS,
                "revision",
                f"{key}.hub.revision",
                f"of {hub.id} no commit is pinned: the newest one is read, and another day it may be another",
                "pin the 40-digit commit that the first run records",
            )


def hubs(study: Study) -> dict[str, Hub]:
    """Repositories on the hub that the study would read, by the key of who reads them."""
    if study.offline_data:
        return {}
    found: dict[str, Hub | None] = {f"sources.{name}": source.hub for name, source in used_sources(study).items()}
    found |= {f"models.{name}": study.models[name].hub for name in used_models(study)}
    asked = {evaluation for name in study.run for evaluation in study.experiments[name].evaluate}
    if "math" in asked:
        benchmarks = study.evaluations.math.benchmarks.named
        found |= {f"evaluations.math.benchmarks.{name}": benchmark.hub for name, benchmark in benchmarks.items()}
    if "mtbench" in asked:
        origins = enumerate(study.evaluations.mtbench.data)
        found |= {f"evaluations.mtbench.data.{place}": origin.hub for place, origin in origins}
    return {key: hub for key, hub in found.items() if hub}


def licences(study: Study) -> Iterator[Finding]:
    """Licences held against `use` of the study: what they forbid, and what nobody has stated."""
    for name, source in used_sources(study).items():
        text, key = source.licence, f"sources.{name}.licence"
        if study.use == "commercial" and (NON_COMMERCIAL.search(text) or NO_DERIVATIVES.search(text)):
            yield Finding(
                FAILS,
                "licence",
                key,
                f"{text!r} forbids what the study is for (`use: commercial`)",
                "leave the source out, or take another one in its place",
            )
        elif NO_DERIVATIVES.search(text):
            yield Finding(
                WARNS, "licence", key, f"{text!r} may forbid passing on a model trained on it", "ask its owner"
            )
        elif NOT_STATED.search(text) or OWN_TERMS.search(text):
            yield Finding(
                WARNS,
                "licence",
                key,
                f"{text!r}: what may be done with it is not known",
                "look it up, and write it into `licence`",
            )


# --- leakage -------------------------------------------------------------------------------------------------------------


def leakage(study: Study, results: Path) -> Iterator[Finding]:
    """Validation or test rows that come from where training rows come from, by the study; and what a finished gate found."""
    for name in study.run:
        experiment = study.experiments[name]
        for held_out in study.references[experiment.reference].sources:
            for source in experiment.sources:
                if how := overlap(study, source, held_out):
                    yield _overlapping(experiment, name, source, held_out, how)
        because = ", because the gate is fatal" if study.gates.leakage == "fatal" else ""
        yield from failed_gate(study, results, "leakage", name, f"the file lists what was found; mend that{because}")


def overlap(study: Study, one: str, other: str) -> str:
    """How two sources share rows for certain or nearly so, by the study; empty if nothing says so."""
    if one == other:
        return "are the same source"
    first, second = study.sources[one], study.sources[other]
    if _origin(study, first) != _origin(study, second) or first.generator or second.generator:
        return ""
    if first.part and second.part and first.part.of == second.part.of and first.part.index != second.part.index:
        return ""
    return "are drawn from the same rows, and not as disjoint `part`s"


def _origin(study: Study, source: Source) -> tuple:
    if study.offline_data and source.local:
        return ("local", source.local)
    return (source.file, source.hub and (source.hub.id, source.hub.subset, source.hub.split))


def _overlapping(experiment: Experiment, name: str, source: str, held_out: str, how: str) -> Finding:
    what, key = f"training source `{source}` and reference source `{held_out}` {how}", f"experiments.{name}.leakage"
    if experiment.leakage == "refuse":
        return Finding(
            FAILS,
            "leakage",
            key,
            f"{what}; the pool is refused as soon as one prompt stands in both",
            "take disjoint `part`s of one size, or `leakage: drop`",
        )
    if experiment.leakage == "drop":
        return Finding(
            WARNS, "leakage", key, f"{what}; what stands in both is left out of training", "take disjoint `part`s"
        )
    return Finding(NOTES, "leakage", key, f"{what}, and stay in training, as a control asks for")


# --- too few rows --------------------------------------------------------------------------------------------------------


def shares(study: Study, known: dict[str, Supply]) -> list[Share]:
    """What every source can give to the mixture of every experiment."""
    found = []
    for name in study.run:
        experiment = study.experiments[name]
        rows = experiment.mixture_rows or study.finetuning.rows
        for source in experiment.sources:
            have, repeat = known[source], study.sources[source].max_repeat
            once = have.rows / rows if have.rows is not None else None
            most = once * repeat if once is not None and repeat else None
            found.append(Share(name, source, have, once, most))
    return found


def too_small(study: Study, known: dict[str, Supply]) -> Iterator[Finding]:
    """Sources that cannot give what is sure to be asked of them: reference rows, a batch, an equal or planted share."""
    for name in study.run:
        yield from _reference(study, name, known)
        experiment = study.experiments[name]
        for source in experiment.sources:
            rows, key = known[source].rows, f"sources.{source}"
            for method in experiment.methods:
                wanted = getattr(study.methods[method], "per_source", 0)
                if rows is not None and wanted > rows:
                    yield Finding(
                        FAILS,
                        "too small",
                        key,
                        f"{rows} rows, and `{method}` in experiments.{name} takes {wanted} of it at each step",
                        f"lower methods.{method}.per_source, or add rows",
                    )
    for share in shares(study, known):
        yield from _share(study, share)
    for name in study.run:
        yield from _repeats(study, name, known)


def _repeats(study: Study, name: str, known: dict[str, Supply]) -> Iterator[Finding]:
    """A mixture that cannot but repeat all rows, or at equal shares those of one source, more often than is as good as fresh rows."""
    experiment = study.experiments[name]
    wanted, have = experiment.mixture_rows or study.finetuning.rows, [known[one].rows for one in experiment.sources]
    if None not in have and wanted > EPOCHS * sum(have):
        yield Finding(
            WARNS,
            "repeats",
            f"experiments.{name}.mixture_rows" if experiment.mixture_rows else "finetuning.rows",
            f"{wanted:,} rows are drawn of {sum(have):,} in all: each is trained on {wanted / sum(have):.0f} times on average, and "
            f"beyond {EPOCHS} repeats add little (arXiv 2305.16264)",
            f"lower it to {EPOCHS * sum(have):,} or less, or add rows",
        )
        return
    for source, rows in zip(experiment.sources, have, strict=True):
        equal = wanted / len(have)
        if rows and not study.sources[source].max_repeat and equal > EPOCHS * rows:
            what = f"an equal share of the mixture of experiments.{name}, {equal:,.0f} rows, takes each of its {rows:,} rows "
            what += f"{equal / rows:.0f} times, and beyond {EPOCHS} repeats add little (arXiv 2305.16264)"
            yield Finding(
                WARNS, "repeats", f"sources.{source}", what, "add rows, or set its `max_repeat` with `over_supply: cap`"
            )


def _share(study: Study, share: Share) -> Iterator[Finding]:
    experiment, source = study.experiments[share.experiment], study.sources[share.source]
    if share.most is None or share.most >= 1:
        return
    sure = max(_known_shares(study, experiment, share.source), default=0.0)
    refused = experiment.over_supply == "refuse"
    what = f"{share.supply.rows} rows, each {source.max_repeat} times at most, are {share.most:.1%} of the mixture of "
    what += f"experiments.{share.experiment}"
    if share.most < sure:
        what += f", and {sure:.1%} is asked for" + ("" if refused else "; the rest goes to other sources")
        do = "add rows, raise `max_repeat`, or lower `rows` of the mixture" + (
            ", or set `over_supply: cap`" if refused else ""
        )
        yield Finding(FAILS if refused else WARNS, "too small", f"sources.{share.source}.max_repeat", what, do)
    elif refused:
        what += "; a larger weight stops the run"
        yield Finding(NOTES, "too small", f"sources.{share.source}.max_repeat", what, "set `over_supply: cap` to go on")


def _known_shares(study: Study, experiment: Experiment, source: str) -> Iterator[float]:
    """What the experiment's methods are sure to ask of a source: those that learn nothing, and whose shares a file says."""
    for method in (study.methods[name] for name in experiment.methods):
        match method.kind:
            case "uniform":
                yield 1 / len(experiment.sources)
            case "oracle":
                yield (experiment.expected or {}).get(source, 0.0)
            case "given":
                yield method.weights.get(source, 0.0)


def _reference(study: Study, name: str, known: dict[str, Supply]) -> Iterator[Finding]:
    """Reference sources with fewer rows than validation and test together take; where rows were read, their pool says so."""
    if all_read(study, name, known):
        return
    key = study.experiments[name].reference
    reference = study.references[key]
    wanted: dict[str, float] = {}
    for parts, rows in (
        (reference.validation, reference.validation_rows),
        (reference.test or reference.validation, reference.test_rows),
    ):
        for source, part in parts.items():
            wanted[source] = wanted.get(source, 0) + rows * part / sum(parts.values())
    for source, rows in wanted.items():
        have = known[source].rows
        # By largest remainder a source may give one row less in each part.
        if have is not None and have < rows - 2:
            yield Finding(
                FAILS,
                "too small",
                f"references.{key}",
                f"takes some {rows:,.0f} rows of `{source}`, which has {have:,}",
                "lower `validation_rows` or `test_rows`, or add rows",
            )


def rows_known(known: dict[str, Supply]) -> dict[str, int | None]:
    """Rows by source."""
    return {name: one.rows for name, one in known.items()}
