"""Reading tables so that what is missing or malformed is named, and text stays text.

A source may be called `NA` or `007`: columns of names are never guessed into numbers or gaps.
"""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from scalebio.errors import UserError

TEXT = {"experiment", "method", "source", "split", "stage", "category", "turn", "judge", "questions", "quantity"} | {
    "verdict",
    "leakage",
    "trained_on",
    "task",
    "variant",
    "shape",
    "weights",
    "varied",
    "model",
    "comparison",
    "baseline",
    "judge_note",
    "prompts_sha256",
    "benchmark",
    "grouping",
    "group",
    "for_model",
    "cannot_say",
    "changed",
    "is_centre",
    "gate",
    "fatal",
    "what",
    "test",
    "changes_sample",
    "role",
    "label",
}


def check(frame: pd.DataFrame, columns: Iterable[str], path: object, may_be_empty: bool = False) -> pd.DataFrame:
    """Return `frame` if it has rows and every column; raise UserError naming `path` and the columns otherwise."""
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise UserError(
            f"{path}: no column {', '.join(missing)}; found {', '.join(map(str, frame.columns))}. "
            "Delete the file and run the rule that makes it again."
        )
    if frame.empty and not may_be_empty:
        raise UserError(f"{path}: the table has no rows. Check the log of the rule that made it.")
    return frame


def read_csv(path: str | Path, columns: Iterable[str], text: Iterable[str] = ()) -> pd.DataFrame:
    """Read a CSV file with at least `columns`: names and `text` as text, all else as numbers, an empty cell as NaN.

    Raises UserError naming the file and the column when it is missing, empty, malformed or not numeric.
    """
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file. Run the rule that makes it first.")
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a readable CSV file ({error}). Delete it and run its rule again.") from error
    check(frame, columns, path)
    for column in frame.columns.difference(sorted(TEXT | set(text))):
        numbers = pd.to_numeric(frame[column].where(frame[column] != ""), errors="coerce")
        wrong = frame[column][numbers.isna() & (frame[column] != "")]
        if len(wrong):
            raise UserError(
                f"{path}, line {wrong.index[0] + 2}, column {column}: expected a number, found {wrong.iloc[0]!r}."
            )
        frame[column] = numbers
    return frame


def read_parquet(path: str | Path, columns: Iterable[str]) -> pd.DataFrame:
    """Read a Parquet file with at least `columns`, possibly without rows. Raises UserError naming the file if unfit."""
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file. Run the rule that makes it first.")
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a readable Parquet file ({error}). Delete it and run its rule again.") from error
    return check(frame, columns, path, may_be_empty=True)
