"""One writer: a lock file beside what a job writes, so that a second job stops and names the first, or follows a dead one.

Two writers are real: a node whose daemon died, or a workflow that was killed, leaves its jobs running while new ones
start. The lock of `weights.json` is `.weights.json.lock`: JSON that says who holds it, with a counter, the heartbeat, that a
thread of the holder raises every ten seconds. Another job takes the lock over at once if the holder's process, on this
machine, has ended; otherwise it watches the counter, never a clock of another machine, and takes over if it stands still
for six heartbeats. A holder that was only frozen, or cut off from the network, finds a lock that is no longer its own and
ends without writing: `check` is called before anything is renamed into place.

How exactly one wins: the lock comes into being by link(2), which is atomic on NFS too. Every lock has an id of its own, and
only who has created the file `<lock>.<id>` may replace or remove the lock of that id; the holder itself must do so to let it
go. The heartbeat is written into the holder's own file, never renamed over another's.
"""

import contextlib
import errno
import getpass
import json
import os
import socket
import sys
import threading
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path

from scalebio import processes
from scalebio.errors import Retryable

# Seconds between two heartbeats, and how many must fail to come before the holder counts as dead.
HEARTBEAT = 10.0
PATIENCE = 6
# A heartbeat rewrites the file in place, so its length must not change.
_LENGTH = 1000
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


class Held(Retryable):
    """Another job is writing the same results."""


class Lost(Retryable):
    """This job's lock is no longer its own, so it may not write."""


class WritingLock:
    """The lock on one file or folder, held while the block lasts. Its folder is made if it is not there.

    Entering raises `Held` if another job writes there. When the lock turns out lost, `on_loss` is called with a `Lost` by
    the heartbeat's thread; by default it ends the process at once, because the main thread may hang where no exception
    reaches it.
    """

    def __init__(self, target: str | Path, heartbeat: float = HEARTBEAT, patience: int = PATIENCE, on_loss=None):
        self.target, self.patience, self.on_loss = Path(target), patience, on_loss or _end
        self.path = self.target.with_name(f".{self.target.name}.lock")
        self.record = {
            "id": uuid.uuid4().hex,
            "job": os.environ.get("SLURM_JOB_ID"),
            "host": socket.gethostname(),
            "place": processes.place(),
            "process": os.getpid(),
            "started": processes.started(os.getpid()),
            "user": _user(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
            "heartbeat": heartbeat,
            "beats": 0,
        }
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat of {self.path}", daemon=True)

    def __enter__(self) -> "WritingLock":
        self.path.parent.mkdir(parents=True, exist_ok=True)
        own = self.path.with_name(f"{self.path.name}.{self.record['id']}.part")
        try:
            with open(own, "xb") as file:
                file.write(self._text())
                file.flush()
                os.fsync(file.fileno())
            while not _link(own, self.path):
                held = _read(self.path)
                if held and self._seems_dead(held) and self._replace(held, own):
                    break
        finally:
            own.unlink(missing_ok=True)
        _ours.append(self)
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._done.set()
        # Not for ever: a file system that hangs must not keep a finished job.
        self._thread.join(self.record["heartbeat"])
        _ours.remove(self)
        right = self._right(self.record)
        # Taken over just now, removed with its folder, or no disk left: what stays is taken over by the next job.
        with contextlib.suppress(OSError):
            right.touch(exist_ok=False)
            try:
                if self._is_own(_read(self.path)):
                    self.path.unlink()
            finally:
                right.unlink(missing_ok=True)

    def check(self) -> None:
        """Raise `Lost` unless the lock is still this job's."""
        found = _read(self.path)
        if self._is_own(found):
            return
        now = f"{_who(found)} has taken it over" if found else f"its lock {self.path} has been removed"
        raise Lost(
            f"This job no longer has the right to write {self.target}: {now}, after no heartbeat of this one was seen, or by "
            "hand. It stops and changes no result. Nothing needs to be done if the other one ends well; else run again."
        )

    def _is_own(self, record: dict | None) -> bool:
        return record is not None and record["id"] == self.record["id"]

    def _right(self, record: dict) -> Path:
        """Who has created this file alone may replace or remove the lock of that id."""
        return self.path.with_name(f"{self.path.name}.{record['id']}")

    def _text(self) -> bytes:
        return (json.dumps(self.record).ljust(_LENGTH) + "\n").encode()

    def _seems_dead(self, held: dict) -> bool:
        """Whether the holder has died; False also if the lock changed hands meanwhile. Raises Held if it lives."""
        wait = held.get("heartbeat", self.record["heartbeat"])
        end = time.monotonic() + self.patience * wait
        told = False
        while not (self.record["place"] and held.get("place") == self.record["place"] and _ended(held)):
            if time.monotonic() > end:
                return True
            if not told and self.patience * wait > 2:
                told = True
                print(
                    f"{self.target}: locked by {_who(held)}; watching for {self.patience * wait:.0f} s whether it lives",
                    file=sys.stderr,
                )
            time.sleep(min(wait / 20, 0.5))
            now = _read(self.path)
            if now is None or now["id"] != held["id"]:
                return False
            if now["beats"] != held["beats"]:
                raise Held(_refusal(self.target, self.path, now, held["beats"]))
        return True

    def _replace(self, held: dict, own: Path) -> bool:
        """Put the own lock in the place of a dead one; False if another job has, or the lock is another one by now."""
        right = self._right(held)
        if not _link(own, right):
            # Its maker needs a moment. If the dead lock stays, that one died too, between two lines.
            end = time.monotonic() + self.patience * self.record["heartbeat"]
            while (now := _read(self.path)) and now["id"] == held["id"] and right.exists():
                if time.monotonic() > end:
                    right.unlink(missing_ok=True)
                time.sleep(min(self.record["heartbeat"] / 20, 0.05))
            return False
        now = _read(self.path)
        if now is None or now["id"] != held["id"]:
            right.unlink(missing_ok=True)
            return False
        os.replace(right, self.path)
        return True

    def _beat(self) -> None:
        while not self._done.wait(self.record["heartbeat"]):
            try:
                self.check()
                with open(self.path, "r+b", buffering=0) as file:
                    # Whatever happens to the name: only a file that holds the own id is written to.
                    if self._is_own(_parsed(file.read())):
                        self.record["beats"] += 1
                        file.seek(0)
                        file.write(self._text())
                        os.fsync(file.fileno())
            except Lost as lost:
                if not self._done.is_set():
                    self.on_loss(lost)
                return
            except OSError:
                # The file system is away or full. Should another job take over meanwhile, the next check tells.
                continue


# The locks this process holds.
_ours: list[WritingLock] = []


def check() -> None:
    """Raise `Lost` unless all locks of this process are still its own; call it before a result is put in its place."""
    for lock in _ours:
        lock.check()


def _end(lost: Lost) -> None:
    print(f"error: {lost}", file=sys.stderr, flush=True)
    os._exit(2)


def _link(own: Path, name: Path) -> bool:
    """Give the file a second name, or a copy of that name where there are no links; False if the name is taken."""
    try:
        os.link(own, name)
    except FileExistsError:
        # NFS may repeat a request whose answer was lost, and then finds what it has made itself.
        try:
            return name.samefile(own)
        except FileNotFoundError:  # whoever had taken the name has just let it go
            return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        try:
            with open(name, "xb") as file:
                file.write(own.read_bytes())
        except FileExistsError:
            return False
    return True


def _read(path: Path) -> dict | None:
    """What a lock file says; None if there is none."""
    for again in (True, True, False):
        try:
            record = _parsed(path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            # NFS: replaced while it was read.
            if error.errno != errno.ESTALE or not again:
                raise
            continue
        if record["id"] != "unreadable" or not again:
            return record
        # Half of one, if it is being written just now.
        time.sleep(0.02)


def _parsed(text: bytes) -> dict:
    try:
        record = json.loads(text)
        record["id"], record["beats"], record["process"]  # noqa: B018
        return record
    except (ValueError, KeyError, TypeError):
        # Half of one, as a machine leaves it that lost its power: it counts as dead unless it changes.
        return {"id": "unreadable", "beats": text.decode(errors="replace")}


def _ended(record: dict) -> bool:
    return processes.gone(record["process"], record["started"])


def _who(record: dict) -> str:
    if "process" not in record:
        return "a job whose lock cannot be read"
    job = f"SLURM job {record['job']}, " if record["job"] else ""
    return f"{job}process {record['process']} of {record['user']} on {record['host']} (since {record['since']})"


def _refusal(target: Path, path: Path, record: dict, before: int) -> str:
    end = f"scancel {record['job']}" if record.get("job") else f"kill {record.get('process')}` on `{record.get('host')}"
    return (
        f"{target} is being written by another job: {_who(record)}. It lives: its heartbeat in {path} went from {before} to "
        f"{record['beats']} while this job watched. Let it finish, or end it (`{end}`), then run again."
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # containers run under numbers that have no name
        return f"user {os.getuid()}"
