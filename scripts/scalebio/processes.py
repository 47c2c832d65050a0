"""What the system knows about processes: when one began, whether it is still there, and how old this one is.

Read from /proc, where a process is known by its number and its start together: numbers are used again. Where there is no
/proc, the answers are "unknown", and whoever asks must do with that.
"""

import os
import time
from pathlib import Path

_IMPORTED = time.monotonic()


def place() -> str | None:
    """This boot of this machine, and in it the namespace that process numbers belong to; None where it cannot be told.

    A host name would not do: containers, and the machines of some clusters, share theirs.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return None


def started(process: int) -> int | None:
    """Start of a process in clock ticks since the machine's; None if it has ended or cannot be seen."""
    fields = _fields(process)
    return int(fields[19]) if fields and fields[0] not in "ZX" else None


def gone(process: int, start: int | None) -> bool:
    """Whether the process of this place with that number and start has ended for certain."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # somebody else's, so it is there
        pass
    fields = _fields(process)
    # A zombie writes nothing any more; it only waits for its parent to notice.
    return bool(fields) and (fields[0] in "ZX" or (start is not None and int(fields[19]) != start))


def age() -> float:
    """Seconds since this process began, imports included; since the import of this module where there is no /proc."""
    start = started(os.getpid())
    if start is None or not hasattr(time, "CLOCK_BOOTTIME"):
        return time.monotonic() - _IMPORTED
    return time.clock_gettime(time.CLOCK_BOOTTIME) - start / os.sysconf("SC_CLK_TCK")


def _fields(process: int) -> list[str]:
    """Fields of /proc/<process>/stat from the state on; empty if it cannot be read."""
    try:
        # The name before them stands in brackets and may hold anything.
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
