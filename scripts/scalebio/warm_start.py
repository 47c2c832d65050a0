"""Learning that starts from weights learned before: on request, when sources came, went or changed (ours).

λ starts at the logarithm of the old shares, so p = softmax(λ) starts where it ended. Sources that are gone are left out, new ones
get the mean share, and the whole is made to sum to 1. What was pruned to nothing could never come back, as the gradient in λ is in
proportion to p: shares start from the unpruned ones (`final`) where they are recorded, and from a thousandth of an equal share at least.
Learning then has nothing to repair where the old weights are still right; that they are is not assumed, and the difference between
start and end is recorded.
"""

import numpy as np

from scalebio.errors import UserError
from scalebio.statistics import total_variation

LEAST = 1e-3
"""Of an equal share; where an old weight of 0 starts."""


def shares(learned: dict, sources: list[str], where: str) -> dict[str, float]:
    """Shares to start from, in the order of `sources`, from a weights.json. Raises UserError naming `where` if no source is in it."""
    old = learned.get("final") or learned["weights"]
    kept = [name for name in sources if name in old]
    if not kept:
        raise UserError(
            f"{where}: has weights of {', '.join(old)}, none of which is a source here ({', '.join(sources)}). Start from weights of "
            "these sources, or leave `start_from` out."
        )
    total = sum(max(old[name], 0.0) for name in kept)
    equal = 1 / len(kept)
    found = {name: max(old[name] / total if total else equal, LEAST * equal) for name in kept}
    found = {name: found.get(name, sum(found.values()) / len(kept)) for name in sources}
    return {name: share / sum(found.values()) for name, share in found.items()}


def record(learned: dict, start: dict[str, float], weights: np.ndarray) -> dict:
    """What weights.json says of it: the shares it started from, sources added and removed, and how far the weights moved.

    `total_variation`: share of the mixture that moved from start to end, 0 to 1; `moved`: by source.
    """
    old = learned["weights"]
    return {
        "shares": start,
        "added": [name for name in start if name not in old],
        "removed": [name for name in old if name not in start],
        "moved": {name: float(end) - start[name] for name, end in zip(start, weights, strict=True)},
        "total_variation": total_variation(np.array(list(start.values())), weights),
    }
