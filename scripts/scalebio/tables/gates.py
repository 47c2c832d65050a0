"""The table of gates: every verdict of a study in one line, with what it means for the study."""

import pandas as pd

from scalebio.errors import UserError
from scalebio.files import read_json
from scalebio.gates import FAILED
from scalebio.tables.readable import Document, document, grid, name, strong

COLUMNS = ["gate", "experiment", "verdict", "fatal", "findings", "what"]


def table(verdicts: list[str], fatal: list[str]) -> pd.DataFrame:
    """One row a verdict file, in the order given. `fatal`: the gates that stop the study (`yes` in the column, else `no`);
    `findings` counts what the file lists.
    """
    rows = []
    for path in verdicts:
        found = read_json(path)
        if missing := [key for key in ("gate", "experiment", "verdict", "findings", "what") if key not in found]:
            raise UserError(f"{path}: no key {', '.join(missing)}. Delete the file and run its gate again.")
        facts = {"fatal": "yes" if found["gate"] in fatal else "no", "findings": len(found["findings"])}
        rows.append({**found, **facts})
    return pd.DataFrame(rows, columns=COLUMNS)


def readable(frame: pd.DataFrame) -> Document:
    """Every verdict."""
    rows = [
        [name(row.gate), name(row.experiment), _told(row.verdict), row.fatal, str(row.findings), name(row.what)]
        for row in frame.itertuples(index=False)
    ]
    text = (
        "leakage: validation, test or benchmark questions in training rows; template: one tokenizer and chat template in all "
        "stages of a run; controls: experiments whose outcome is known. A fatal gate that failed stops what depends on it; the "
        "verdict files list every finding."
    )
    header = ["gate", "experiment", "verdict", "fatal", "findings", "what"]
    return document("Gates", text, [("All gates", grid(header, rows, left=6))])


def _told(verdict: str) -> str:
    return strong(verdict) if verdict == FAILED else verdict
