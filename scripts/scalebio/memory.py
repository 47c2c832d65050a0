"""How much memory this process has held, read in one place because the unit differs by system."""

import resource
import sys


def peak_resident_bytes() -> int:
    """Largest resident memory of this process so far."""
    # ru_maxrss is in kilobytes on Linux and in bytes on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
