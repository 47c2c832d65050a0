"""One variant on one shape, measured in a process of its own, because peak memory never falls again in a process.

CPU time is user and system time of the process over one warm outer step. Memory is the peak of resident memory
(`ru_maxrss`) minus the resident memory after all imports and before any model or batch exists.
"""

import json
import resource
import statistics
import sys
import time

WARM_STEPS = 1
SOURCES = 2


def resident_mb() -> float:
    """Resident memory of this process now, in MB (10^6 bytes)."""
    import psutil

    return psutil.Process().memory_info().rss / 1e6


def peak_mb() -> float:
    """Largest resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def measure(shape_name: str, variant: str, steps: int, seed: int = 0) -> dict:
    """{cpu_seconds: median over `steps` warm steps, all: each of them, peak_mb, tokens: ...} of one variant."""
    from scalebio.bench import shapes, variants

    shape = shapes.SHAPES[shape_name]
    variants.warm_imports()
    before = resident_mb()
    step = variants.VARIANTS[variant].build(shape, seed)
    seconds = []
    for index in range(WARM_STEPS + steps):
        start = time.process_time()
        step()
        if index >= WARM_STEPS:
            seconds.append(time.process_time() - start)
    return {"cpu_seconds": statistics.median(seconds), "all": seconds, "peak_mb": peak_mb() - before, "imports_mb": before}
