"""Learning-rate factors in [0, 1] by step."""

import math


def ramp_cosine(step: int, steps: int, ramp: int) -> float:
    """Linear rise over `ramp` steps, then cosine to zero at `steps`; never exactly zero at step 0."""
    rise = min(1.0, (step + 1) / (ramp + 1))
    return rise * 0.5 * (1 + math.cos(math.pi * step / steps))


def warmup_cosine(step: int, steps: int, warmup: int) -> float:
    """As transformers' cosine schedule, which the releases use: from exactly zero over `warmup` steps, then cosine to zero."""
    if step < warmup:
        return step / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))
