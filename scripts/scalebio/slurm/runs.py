"""Which runs of Snakemake in a folder are alive, so that only jobs of dead ones count as orphans.

Two runs may work in one folder at a time (Snakemake locks files, not folders), for two studies say. Each writes a file
named after itself and renews it every minute. On the same machine the process tells whether the run lives. Of another one
only the file can tell: clocks differ between hosts, so it is not its age that counts but whether it is renewed while we look.
"""

import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

from scalebio import processes
from scalebio.files import write_json

# A run on another host whose file has not been renewed for so long (s) is not waited for.
STALE = 3600
# How long (s) to look for a sign of life; above the time between two (60) plus what NFS may hide (60).
LOOK = 180


class Run:
    """This process's entry in a folder of runs, from its start to its end."""

    def __init__(self, folder: Path, name: str):
        """Write the entry of the run `name`."""
        self._path = folder / f"{name}.json"
        self._beats = 0
        self.renew()

    def renew(self) -> None:
        """A sign of life."""
        self._beats += 1
        me = os.getpid()
        entry = {
            "host": socket.gethostname(),
            "place": processes.place(),
            "process": me,
            "start": processes.started(me),
        }
        write_json(self._path, entry | {"beats": self._beats})

    def remove(self) -> None:
        """The run has ended."""
        self._path.unlink(missing_ok=True)


def alive(folder: Path, name: str, say: Callable[[str], None], look: float = LOOK, pause: float = 5) -> bool:
    """Whether the run `name` lives; a run that left no entry does not.

    May take up to `look` seconds where the run is another machine's, and tells `say` so.
    """
    path = folder / f"{name}.json"
    entry = _read(path)
    if entry is None:
        return False
    if entry["place"] is not None and entry["place"] == processes.place():
        return not processes.gone(entry["process"], entry["start"])
    if time.time() - os.stat(path).st_mtime > STALE:
        return False
    say(f"Looking for a sign of life of the run {name} on {entry['host']}, for up to {look:.0f} seconds.")
    end = time.monotonic() + look
    while time.monotonic() < end:
        time.sleep(pause)
        now = _read(path)
        if now is None or now["beats"] != entry["beats"]:
            # Gone means that it has just come to its end.
            return now is not None
    return False


def _read(path: Path) -> dict | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return None
