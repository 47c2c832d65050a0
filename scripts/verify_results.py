"""Compare a results folder with the hashes its own files record. Knows nothing of this repository but the form of that record.

    python verify_results.py results/STUDY [--code CHECKOUT] [--partial] [--quiet]

Every JSON file with `provenance` is read: its settings and its own content, the files it was made from (`inputs`) and made beside it
(`outputs`), and the files in a model's folder (`weights`, `files`) are hashed again. Paths are recorded relative to where the study ran:
`results/<study>/x` is looked up as x in the folder given, so it may lie anywhere, and all else, other studies too, two folders
above it. The study is the one that most outputs are recorded under.
With --code, the code and the lock file that made each result are compared with a checkout, too.

Prints what does not match, what is gone from the folder, what lies elsewhere and is not there to compare, and files that no
record vouches for. Exit status: 1 if anything does not match, cannot be read or is gone (with --partial, for a folder kept
without its models, say, what is gone does not count), else 0. Needs nothing but Python's standard library.
"""

import argparse
import hashlib
import json
import sys
from collections import Counter
from pathlib import Path

MISMATCH, GONE, ELSEWHERE, UNRECORDED = "does not match", "gone", "not there", "no record"
# What results need not vouch for: time and memory differ from run to run, journals are working files, an audit looks ahead.
UNCLAIMED = (".tsv", ".journal", ".passed", "ro-crate-metadata.json", "audit.json", "audit.md", "audit.html")
UNCLAIMED_FOLDERS = {"downloads", "benchmarks", "checkpoints"}


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def canonical(value: object, **separators) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, **separators)
    return hashlib.sha256(text.encode()).hexdigest()


def _mapping(value: object) -> dict:
    return value if isinstance(value, dict) else {}


def _study_of(recorded: object) -> str | None:
    """The study under whose results a recorded path lies."""
    parts = Path(recorded).parts if isinstance(recorded, str) else ()
    return parts[1] if len(parts) > 2 and parts[0] == "results" else None


class Verification:
    """One pass over a folder: `faults` are (kind, file, what), `checked` counts hashes that were compared."""

    def __init__(self, folder: Path, code: Path | None):
        self.folder, self.code = folder, code
        self.faults: list[tuple[str, str, str]] = []
        self.checked = 0
        self.claimed: set[Path] = set()
        self._known: dict[Path, str] = {}
        self._study = ""

    def run(self) -> None:
        found = sorted(path for path in self.folder.rglob("*.json") if not path.name.startswith("."))
        documents = {path: document for path in found if (document := self._document(path))}
        studies = Counter(
            study
            for document in documents.values()
            for entry in _mapping(document["provenance"].get("outputs")).values()
            if (study := _study_of(_mapping(entry).get("path")))
        )
        self._study = studies.most_common(1)[0][0] if studies else self.folder.name
        for path, document in documents.items():
            try:
                self._record(path, document, document["provenance"])
            except (KeyError, TypeError, AttributeError) as error:
                self._fault(MISMATCH, path, f"its provenance has not the form of one: {error!r}")
        for path in sorted(self.folder.rglob("*")):
            inside = path.relative_to(self.folder).parts
            if not path.is_file() or path.name.startswith(".") or UNCLAIMED_FOLDERS & set(inside):
                continue
            if path not in self.claimed and not path.name.endswith(UNCLAIMED):
                self._fault(UNRECORDED, path, "no provenance names it")

    def _document(self, path: Path) -> dict | None:
        """A JSON file with provenance; None for any other, and for one that cannot be read, which is a fault."""
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            self.claimed.add(path)
            self._fault(MISMATCH, path, f"not readable as JSON: {error}")
            return None
        if not isinstance(document, dict) or not isinstance(document.get("provenance"), dict):
            return None
        self.claimed.add(path)
        return document

    def _record(self, path: Path, document: dict, record: dict) -> None:
        if "settings" in record:
            self._compare(path, "its settings", canonical(record["settings"]), record.get("settings_sha256"))
        if "content_sha256" in record:
            rest = {key: value for key, value in record.items() if key != "content_sha256"}
            content = canonical({**document, "provenance": rest}, separators=(",", ":"))
            self._compare(path, "its own content", content, record["content_sha256"])
        else:
            self._fault(UNRECORDED, path, "no hash of its own content")
        for kind in ("inputs", "outputs"):
            for role, entry in record.get(kind, {}).items():
                self._file(path, f"{kind[:-1]} {role}", self._place(entry["path"]), entry["sha256"])
        for kind in ("weights", "files"):
            for name, digest in (document.get(kind) or {}).items():
                if isinstance(digest, str):
                    self._file(path, kind, path.parent / name, digest)
        if self.code:
            for name, digest in record.get("code", {}).items():
                self._file(path, "code", self.code / "scripts" / name, digest)
            if record.get("lock_sha256"):
                self._file(path, "lock file", self.code / "envs" / "lock.txt", record["lock_sha256"])

    def _place(self, recorded: str) -> Path:
        if _study_of(recorded) == self._study:
            return self.folder.joinpath(*Path(recorded).parts[2:])
        return self.folder.parent.parent / recorded

    def _file(self, path: Path, what: str, file: Path, digest: str) -> None:
        self.claimed.add(file)
        if not file.is_file():
            self._fault(GONE if file.is_relative_to(self.folder) else ELSEWHERE, path, f"{what}: {file}")
            return
        if file not in self._known:
            self._known[file] = sha256(file)
        self._compare(path, f"{what}: {file}", self._known[file], digest)

    def _compare(self, path: Path, what: str, found: str, recorded: object) -> None:
        self.checked += 1
        if found != recorded:
            self._fault(MISMATCH, path, f"{what} (recorded {str(recorded)[:12]}, found {found[:12]})")

    def _fault(self, kind: str, path: Path, what: str) -> None:
        self.faults.append((kind, str(path.relative_to(self.folder)), what))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="results/<study>")
    parser.add_argument("--code", type=Path, metavar="CHECKOUT", help="compare code and lock file with this checkout")
    parser.add_argument("--partial", action="store_true", help="some files were left out on purpose: gone is no fault")
    parser.add_argument("--quiet", action="store_true", help="print faults only, of all else the counts")
    given = parser.parse_args()
    if not given.folder.is_dir():
        parser.error(f"{given.folder} is no folder; give results/<study>")
    made = Verification(given.folder.resolve(), given.code.resolve() if given.code else None)
    made.run()
    fatal = {MISMATCH} if given.partial else {MISMATCH, GONE}
    for kind, path, what in made.faults:
        if kind in fatal or not given.quiet:
            print(f"{kind}: {path}: {what}")
    counts = Counter(kind for kind, _, _ in made.faults)
    listed = ", ".join(f"{counts[kind]} {kind}" for kind in (MISMATCH, GONE, ELSEWHERE, UNRECORDED))
    print(f"{made.checked} hashes compared in {given.folder}: {listed}")
    if not made.checked:
        print("nothing was compared: no JSON file there has provenance")
    return 1 if any(counts[kind] for kind in fatal) or not made.checked else 0


if __name__ == "__main__":
    sys.exit(main())
