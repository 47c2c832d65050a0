"""Finished pieces of a long job, kept line by line, so that a killed job does not do or pay for them again.

An append-only JSONL file beside the result. A line is written whole as soon as its piece is done; a line cut short by
a kill is dropped when the file is opened again. Pieces are known by a hash of everything they depend on, so one made
under other settings is simply not found.
"""

import hashlib
import json
from pathlib import Path

from scalebio import writing_lock
from scalebio.files import read_jsonl


def key(*parts: object) -> str:
    """A name for a piece of work from everything that decides its outcome (JSON values)."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:32]


class Journal:
    """A mapping from keys to JSON values, handed to the system before `add` returns. One process writes it at a time:
    entry points hold the lock on it (`cli.claim`), and a job that has lost its lock adds nothing.

    Raises UserError naming file and line where an earlier line is damaged.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        whole = 0
        if self.path.exists():
            # What stands after the last line end was being written when its job was killed.
            whole = self.path.read_bytes().rfind(b"\n") + 1
        self.file = open(self.path, "ab")
        self.file.truncate(whole)
        self.entries = {entry["key"]: entry["value"] for entry in read_jsonl(self.path)}

    def __contains__(self, name: str) -> bool:
        return name in self.entries

    def __getitem__(self, name: str):
        return self.entries[name]

    def add(self, name: str, value: object) -> None:
        """Keep a piece; a second one under the same key replaces the first. Raises `writing_lock.Lost`."""
        writing_lock.check()
        line = json.dumps({"key": name, "value": value}, ensure_ascii=False) + "\n"
        self.file.write(line.encode())
        self.file.flush()
        self.entries[name] = value

    def close(self) -> None:
        """Close the file; it stays, for the next run."""
        self.file.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
