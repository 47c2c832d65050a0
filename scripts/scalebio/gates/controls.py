"""The gate of controls: do experiments whose outcome is known whatever the data come out so?

`duplicate`: two halves of one source must share equally. `permuted`: sources that are all alike, none may lead. `leak`: a copy of the
validation rows must win. A method that fails one of them reads something other than the worth of a source. The first two hold
on average over seeds, because nothing tells the sources apart and weights wander by chance (docs/measured.md); the third in
every run.
"""

import pandas as pd

from scalebio.gates import verdict


def check(experiment: str, kind: str, sources: list[str], weights: pd.DataFrame, tolerance: float) -> dict:
    """The verdict on one control. `sources`: the halves, those alike, or the copy; `weights`: rows with experiment, method, seed,
    source, weight; `tolerance`: by how much a mean over seeds may miss its known share, 0 to 1. Not applicable without rows.
    """
    rows = weights[weights["experiment"] == experiment]
    findings, seen = [], []
    for method, part in rows.groupby("method", sort=False):
        table = part.pivot(index="seed", columns="source", values="weight")
        means = table.mean()
        seen.append(f"{method}: " + ", ".join(f"{source} {means[source]:.3f}" for source in sources))
        if kind == "leak":
            (copy,) = sources
            lost = table.index[table[copy] <= table.drop(columns=copy).max(axis=1)].tolist()
            findings += [{"method": method, "kind": kind, "source": copy, "lost_with_seeds": lost}] if lost else []
            continue
        known = means[sources].sum() / len(sources)
        findings += [
            {
                "method": method,
                "kind": kind,
                "source": source,
                "mean_weight": float(means[source]),
                "known": float(known),
            }
            for source in sources
            if abs(means[source] - known) > tolerance
        ]
    wanted = {"duplicate": "equal shares", "permuted": "no source leads", "leak": "the copy wins in every run"}[kind]
    what = f"{wanted}; mean weights over {rows['seed'].nunique()} seeds: {'; '.join(seen)}" if seen else "no weights"
    threshold = {} if kind == "leak" else {"tolerance": tolerance}
    return verdict("controls", experiment, findings, threshold, what, applicable=bool(seen))
