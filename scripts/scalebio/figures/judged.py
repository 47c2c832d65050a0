"""What the figures of judged answers share: who judged what, in words, and how categories stand in their order."""

import pandas as pd

from scalebio.errors import UserError
from scalebio.figures import house

ALL, BOTH = "all", "both"  # as in scores.csv


def over_turns(rows: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The rows over both turns and their name, or those of the only turn there is; UserError where it is open."""
    turns = list(dict.fromkeys(rows["turn"]))
    if BOTH in turns:
        return rows[rows["turn"] == BOTH], "both turns"
    if len(turns) == 1:
        return rows, f"turn {turns[0]}"
    raise UserError(f"figure mtbench: the table has turns {', '.join(turns)} but no rows of turn {BOTH}.")


def provenance(rows: pd.DataFrame) -> str:
    """Judge, origin of the questions and any warning of one experiment, in words. UserError where they are mixed."""
    judges, origins = list(dict.fromkeys(rows["judge"])), list(dict.fromkeys(rows["questions"]))
    if len(judges) > 1 or len(origins) > 1:
        raise UserError(
            f"figure mtbench: {rows['experiment'].iloc[0]} mixes judges ({'; '.join(judges)}) or questions "
            f"({'; '.join(origins)}); their scores are not comparable. Score all methods again with one judge."
        )
    notes = "".join(f" Note: {note}." for note in dict.fromkeys(rows["judge_note"]) if note)
    return f"Judge: {judges[0]}. Questions: {origins[0]}.{notes}"


def told(table: pd.DataFrame) -> str:
    """`provenance` of every experiment, once where it is the same for all."""
    found = {name: provenance(table[table["experiment"] == name]) for name in house.ordered(table["experiment"])}
    if len(set(found.values())) == 1:
        return next(iter(found.values()))
    return " ".join(f"{name}: {text}" for name, text in found.items())


def left_out(rows: pd.DataFrame) -> str:
    """How many ratings no score holds, and how many judgments saw a cut answer; nothing where there are none.

    `rows` are of one turn or of both together, as from `over_turns`.
    """
    every = rows[rows["category"] == ALL]
    failed, cut = int(every["failed"].sum()), int(every["cut"].sum())
    texts = [f" {failed} of {int(every['n'].sum()) + failed} ratings unreadable, in no mean."] * (failed > 0)
    texts += [f" {cut} judgments are of answers whose middle was cut."] * (cut > 0)
    return "".join(texts)


def categories(rows: pd.DataFrame) -> list[str]:
    """The categories of one experiment as they come, and "all" last."""
    found = house.ordered(rows["category"])
    return [*(category for category in found if category != ALL), *([ALL] if ALL in found else [])]
