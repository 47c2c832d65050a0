"""CPU time and memory of one variant on one shape, in a process of its own, because peak memory never falls again.

CPU time is user plus system time of the process over one outer step, after a warm-up step. Memory is the peak resident
memory of the process minus the memory resident after all imports and before any model or batch of the shape exists; before
that reading a minuscule model makes a step, so that what loads at first use counts as imports.
"""

import resource
import time

from scalebio.memory import peak_resident_bytes

WARM_UP = 1


def resident_mb() -> float:
    """Resident memory of this process now, in MB (10^6 bytes); where there is no /proc, its peak so far."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize() / 1e6
    except FileNotFoundError:
        return peak_mb()


def peak_mb() -> float:
    """Largest resident memory of this process so far, in MB."""
    return peak_resident_bytes() / 1e6


def measure(shape: str, variant: str, first: int, count: int) -> dict:
    """Steps on the batches `first` … `first + count - 1` after a warm-up step on the batch before them.

    Returns {seconds: CPU seconds of each step, peak_mb: above the imports, imports_mb}.
    """
    from scalebio.bench import shapes, variants

    tiny = shapes.SHAPES["minuscule"]
    for step in variants.steps(variant, tiny, shapes.make_batches(tiny, 1)):
        step()
    before = resident_mb()
    spec = shapes.SHAPES[shape]
    batches = shapes.make_batches(spec, first + count)[first - WARM_UP :]
    seconds = []
    for step in variants.steps(variant, spec, batches):
        start = time.process_time()
        step()
        seconds.append(time.process_time() - start)
    return {"seconds": seconds[WARM_UP:], "peak_mb": peak_mb() - before, "imports_mb": before}
