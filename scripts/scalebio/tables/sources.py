"""The table of sources: where each comes from, what it may be used for, and how many rows there were, were found and are used.

Facts that a run found (rows, the commit that was read) come from the sources' manifests, all else from the study.
"""

import pandas as pd

from scalebio.tables.readable import MISSING, Document, document, grid, name, strong

COLUMNS = ["source", "experiments", "roles", "kind", "origin", "revision", "pinned", "gated", "licence", "spoiled"]
COLUMNS += ["whole_rows", "found_rows", "dropped_rows", "rows"]
DROPPED = ("dropped_unanswered", "dropped_irregular", "dropped_long")


def table(manifests: dict[str, dict], facts: dict[str, dict]) -> pd.DataFrame:
    """One row a source.

    `manifests`: {source: its manifest}; `facts`: {source: {"experiments": [...], "roles": of train, validation, test,
    "gated", "whole_rows", "asked_revision"}}, the latter three None where they mean nothing. `pinned` is `yes`, `unverified`
    (the newest commit was read; `revision` says which), or empty for what has no commit; `whole_rows`: rows of the data set
    that the source is taken from, as the study states them; `found_rows`: rows read here; `dropped_rows`: left out by
    filters; `rows`: kept, after `part` and `rows` of the study.
    """
    rows = []
    for source, known in facts.items():
        manifest = manifests[source]
        asked = known["asked_revision"]
        rows.append(
            {
                "source": source,
                "experiments": " ".join(known["experiments"]),
                "roles": " ".join(known["roles"]),
                **_origin(manifest["origin"]),
                "pinned": "" if asked is None else "unverified" if asked == "unverified" else "yes",
                "gated": "" if known["gated"] is None else "yes" if known["gated"] else "no",
                "licence": manifest["licence"],
                "spoiled": manifest["corruption"]["rate"] if manifest["corruption"] else 0.0,
                "whole_rows": known["whole_rows"],
                "found_rows": manifest["rows_read"],
                "dropped_rows": sum(manifest[key] for key in DROPPED),
                "rows": manifest["rows"],
            }
        )
    return pd.DataFrame(rows, columns=COLUMNS).astype({"whole_rows": "Int64"})


def _origin(origin: dict) -> dict:
    """Kind, place and revision (the commit, or the hash of a file) of what a manifest says was read."""
    if origin["kind"] == "hub":
        place = ", ".join(filter(None, [origin["id"], origin.get("subset"), origin["split"]]))
        return {"kind": "hub", "origin": place, "revision": origin["revision"]}
    if origin["kind"] == "file":
        instead = origin.get("stands_in_for")
        place = f"{origin['path']} (for {instead['id']})" if instead else origin["path"]
        return {"kind": "file", "origin": place, "revision": origin["sha256"]}
    made = origin["generator"]
    what = made.get("language") or ", ".join(made.get("tasks", {}))
    return {"kind": "generator", "origin": f"{made['kind']}: {what}", "revision": ""}


def readable(frame: pd.DataFrame) -> Document:
    """Every source with its origin, licence and numbers of rows."""

    def text(value: str) -> str:
        return name(value) if value else MISSING

    rows = []
    for row in frame.itertuples():
        origin = [
            name(row.origin),
            f"at {name(row.revision[:8])}" if row.revision else "",
            row.pinned.replace("yes", ""),
        ]
        cells = [
            name(row.source),
            text(row.experiments),
            row.roles,
            " ".join(filter(None, origin)),
            row.gated or MISSING,
        ]
        cells += [row.licence, f"{row.spoiled:.0%}"]
        counts = (row.whole_rows, row.found_rows, row.dropped_rows, row.rows)
        rows.append([*cells, *(MISSING if pd.isna(count) else f"{count:,.0f}" for count in counts)])
    header = ["source", "experiments", "role", "origin", "gated", "licence", "spoiled", "rows of the whole", "found"]
    text_before = (
        "Role: train, validation or test. Origin: data set on the hub and the commit that was read, a file and its hash, or a "
        f"generator; {strong('unverified')}: the newest commit was read, none is pinned. Spoiled: share of answers spoiled on "
        "purpose. Rows of the whole: of the data set that the source is taken from, where the study states them; found: read "
        "here; dropped: left out by filters; used: what is left after drawing."
    )
    return document("Sources", text_before, [("All sources", grid([*header, "dropped", "used"], rows, left=6))])
