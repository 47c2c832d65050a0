"""How much memory this process has held, read in one place because the way differs by system."""

import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_resident_bytes() -> int:
    """Largest resident memory of this process so far.

    Not `ru_maxrss` where /proc says it: Linux counts in that what the process was started from, however large (its
    memory is the child's until exec).
    """
    if _STATUS.exists():
        peak = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(peak.split()[1]) * 1024
    # In kilobytes on most systems, in bytes on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
