"""Splitting a whole number of rows by shares, so that the counts add up exactly."""


def allot(total: int, shares: dict[str, float]) -> dict[str, int]:
    """Split `total` rows by `shares` (any non-negative numbers, not all 0) by largest remainder; counts sum to `total`."""
    exact = {name: total * share / sum(shares.values()) for name, share in shares.items()}
    counts = {name: int(value) for name, value in exact.items()}
    by_remainder = sorted(shares, key=lambda name: exact[name] - counts[name], reverse=True)
    for name in by_remainder[: total - sum(counts.values())]:
        counts[name] += 1
    return counts
