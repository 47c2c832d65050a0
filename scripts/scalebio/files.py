"""Reading and writing result files so that a killed job never leaves a half-written one.

Everything is written under a temporary name beside its final one and renamed at the end; a rename within a
folder is atomic on POSIX file systems. A job that has lost the lock on what it writes renames nothing (`writing_lock`).
"""

import hashlib
import json
import os
import re
import shutil
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from scalebio import writing_lock
from scalebio.errors import UserError


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path for a file or folder, renamed to `path` only if the block succeeds.

    Temporaries carry host and process, so that those of a killed job are known as such: the next call for the same
    path on the same host removes them.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_left_over(path)
    temporary = _temporary(path, str(os.getpid()))
    try:
        yield temporary
        writing_lock.check()
        if temporary.is_dir() and path.is_dir():
            # A folder cannot be renamed onto a full one; aside, the old one is never seen half deleted.
            aside = _temporary(path, f"{os.getpid()}-old")
            os.replace(path, aside)
            os.replace(temporary, path)
            _remove(aside)
        else:
            os.replace(temporary, path)
    finally:
        _remove(temporary)


def _temporary(path: Path, process: str) -> Path:
    # The suffix stays last: writers such as matplotlib choose the format by it.
    return path.with_name(f".{path.stem}.{socket.gethostname()}.{process}.part{path.suffix}")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _remove_left_over(path: Path) -> None:
    """Remove temporaries of `path` whose process on this host is no more; one of our own number is older than we are."""
    before, after = map(re.escape, _temporary(path, "\0").name.split("\0"))
    for other in path.parent.iterdir():
        found = re.fullmatch(rf"{before}(\d+)(-old)?{after}", other.name)
        if found and (int(found[1]) == os.getpid() or not _alive(int(found[1]))):
            _remove(other)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's, so it is there
        return True
    return True


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sealed(document: dict) -> dict:
    """A result with its provenance, to which the hash of all the rest of the document is added (`content_sha256`).

    Over JSON with sorted keys and no blanks but those inside texts, so that it can be checked without this package.
    """
    open_ = {**document, "provenance": {k: v for k, v in document["provenance"].items() if k != "content_sha256"}}
    # Read back, because keys that are no text sort in another way before they are.
    plain = json.loads(json.dumps(open_, allow_nan=False))
    text = json.dumps(plain, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    seal = {"content_sha256": hashlib.sha256(text.encode()).hexdigest()}
    return {**document, "provenance": open_["provenance"] | seal}


def write_json(path: str | Path, value: object) -> None:
    """Write indented JSON atomically; NaN is refused because JSON has none. A result with provenance is `sealed`."""
    if isinstance(value, dict) and isinstance(value.get("provenance"), dict):
        value = sealed(value)
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | Path) -> object:
    """Read a JSON file. Raises UserError naming the file and line where it is malformed."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise UserError(f"{path}, line {error.lineno}: not valid JSON ({error.msg}).") from error


def write_jsonl(path: str | Path, rows: Iterable[dict]) -> None:
    """Write one JSON object a line, atomically."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows))


def read_jsonl(path: str | Path) -> list[dict]:
    """Read one JSON object a line. Raises UserError naming the file and line that is malformed."""
    rows = []
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise UserError(
                    f"{path}, line {number}: not valid JSON ({error.msg}). Mend or remove this line."
                ) from error
    return rows
