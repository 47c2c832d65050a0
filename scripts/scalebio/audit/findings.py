"""What an audit has to say besides numbers: one finding each, how grave it is, where it comes from, and what to do."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scalebio.config import Study
from scalebio.files import read_json

FAILS, WARNS, NOTES = "would fail", "warning", "note"
GRAVITY = (FAILS, WARNS, NOTES)
CLEAN, WOULD_FAIL, RESULTS_STALE = 0, 1, 2


@dataclass(frozen=True)
class Finding:
    """`kind`: what was looked for, in a word or two; `key`: the study's key, or the file, that it is about."""

    gravity: str
    kind: str
    key: str
    what: str
    do: str = ""


def ordered(found: list[Finding]) -> list[Finding]:
    """Each once, the gravest first, otherwise as found."""
    return sorted(dict.fromkeys(found), key=lambda finding: GRAVITY.index(finding.gravity))


def exit_code(found: list[Finding], stale: int) -> int:
    """1 if anything would fail, else 2 if results are stale, else 0; warnings and notes do not count."""
    if any(finding.gravity == FAILS for finding in found):
        return WOULD_FAIL
    return RESULTS_STALE if stale else CLEAN


def failed_gate(study: Study, results: Path, gate: str, experiment: str, what_to_do: str) -> Iterator[Finding]:
    """What a gate found on earlier results, if its verdict file lies in `results` and says that it failed."""
    path = results / "gates" / gate / f"{experiment}.json"
    if path.is_file() and (found := read_json(path))["verdict"] == "failed":
        gravity = FAILS if getattr(study.gates, gate) == "fatal" else WARNS
        yield Finding(
            gravity, gate, path.as_posix(), f"this gate failed on earlier results: {found['what']}", what_to_do
        )
