"""What the throw-away cluster's `squeue` shows, as jobs."""

import re
from typing import NamedTuple

# For `squeue --noheader --Format=...`.
FIELDS = "jobid:|,name:|,state:|,nodelist:|,reason:|,comment:|"


class Job(NamedTuple):
    """One line of squeue; finished jobs stay there for half an hour."""

    id: int
    name: str
    state: str  # long form: RUNNING, COMPLETED, NODE_FAIL, ...
    nodes: str  # "node1", "node[1-2]", "" while it waits
    reason: str
    comment: str  # Snakemake's plugin puts the rule and its wildcards here

    @property
    def ended(self) -> bool:
        return self.state not in ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "REQUEUED", "STOPPED")


def parse(text: str) -> list[Job]:
    """The jobs in what squeue prints of FIELDS, in order of submission."""
    rows = [
        [re.sub(r"^\(null\)$|^None$", "", field.strip()) for field in line.split("|")[:6]] for line in text.splitlines()
    ]
    return sorted(Job(int(row[0]), *row[1:]) for row in rows)
