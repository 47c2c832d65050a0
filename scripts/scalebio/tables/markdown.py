"""Pieces of a readable table in Markdown: names, numbers, intervals, grids, and a page of sections.

Names stand as code spans, so that `_`, `<`, `$` or `|` in them is shown as it is.
"""

import re
from collections.abc import Iterable
from math import isnan

MISSING = "–"


def name(text: object) -> str:
    """A code span that shows `text` literally inside a Markdown table; a line break in it becomes a space."""
    text = " ".join(str(text).splitlines()).replace("|", "\\|")
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    pad = " " if "`" in text else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def number(value: float | None, digits: int = 4, sign: bool = False) -> str:
    """A number with fixed digits, or a dash where there is none."""
    if value is None or isnan(value):
        return MISSING
    return f"{value:{'+' if sign else ''}.{digits}f}"


def span(low: float, high: float, digits: int = 4, sign: bool = False) -> str:
    """An interval `low … high`, or a dash where there is none."""
    return MISSING if isnan(low) else f"{number(low, digits, sign)} … {number(high, digits, sign)}"


def grid(header: list[str], rows: Iterable[list[str]]) -> str:
    """A Markdown table; all columns but the first are right-aligned."""
    lines = [header, ["---"] + ["--:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def document(title: str, explanation: str, sections: Iterable[tuple[str, str]]) -> str:
    """Title, one explaining paragraph, then (heading, body) sections."""
    return "\n".join([f"# {title}\n", f"{explanation}\n", *(f"## {head}\n\n{body}" for head, body in sections)])
