"""Numbers, captions and figures as pieces of HTML; text from data is escaped on the way.

Tables are summed up by `tables.summary`, with the same words as the Markdown and LaTeX beside each CSV file. Captions are the
reStructuredText of Snakemake's own report.
"""

import base64
import re
import struct
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

from docutils.core import publish_parts
from jinja2 import Environment
from markupsafe import Markup, escape

from scalebio.claims import page as claims
from scalebio.errors import UserError
from scalebio.tables import summary
from scalebio.tables.readable import (
    MARKS,
    NAME,
    NAME_END,
    STRONG,
    STRONG_END,
    Document,
    Grid,
    grid,
)

# A region that scrolls by itself must be reachable by keyboard and have a name.
SCROLL = '<div class="scroll" tabindex="0" role="region" aria-label="table">'
# A cell of numbers: one, an interval, a share, some of all, or the dash where there is none.
NUMBERS = re.compile(r"[-+–−…×%<.,\d\s]*(e[-+]\d+|of [\d,]+)?")
# Of docutils: nothing that reads files or passes HTML through, and a warning is an error.
SAFE = {"raw_enabled": False, "file_insertion_enabled": False, "halt_level": 2, "warning_stream": False}
# A cell of more characters must not be squeezed to the width of a word.
PROSE = 40


def inline(text: str) -> Markup:
    """Marked text (`tables.readable`) as HTML: names as code, what is strong as strong, all else escaped."""
    html = str(escape(text))
    for mark, tag in ((NAME, "<code>"), (NAME_END, "</code>"), (STRONG, "<strong>"), (STRONG_END, "</strong>")):
        html = html.replace(mark, tag)
    return Markup(html)


def literal(text: object) -> str:
    """Text from data as marked text without marks; line breaks become spaces."""
    return " ".join(str(text).translate(dict.fromkeys(map(ord, MARKS))).split())


def show(grid: Grid) -> Markup:
    """A grid as HTML: columns that hold numbers only to the right, all others to the left; prose gets room."""
    columns = zip(*grid.rows, strict=True) if grid.rows else [() for _ in grid.header]
    kinds = [f' class="{kind}"' if (kind := _kind(column)) else "" for column in columns]
    head = "".join(f'<th scope="col"{kind}>{inline(cell)}</th>' for kind, cell in zip(kinds, grid.header, strict=True))
    rows = [
        "".join(f"<td{kind}>{inline(cell)}</td>" for kind, cell in zip(kinds, row, strict=True)) for row in grid.rows
    ]
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    note = f"<p>{inline(grid.note)}</p>\n" if grid.note else ""
    return Markup(f"{note}{SCROLL}<table>\n<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody>\n</table></div>\n")


def _kind(cells: Iterable[str]) -> str:
    texts = [literal(cell) for cell in cells]
    if max(map(len, texts), default=0) > PROSE:
        return "prose"
    return "number" if texts and all(map(NUMBERS.fullmatch, texts)) else ""


def table(header: list[str], rows: Iterable[list[str]]) -> Markup:
    """A table of marked text as HTML."""
    return show(grid(header, rows))


def show_document(document: Document) -> Markup:
    """A readable table as HTML; its title becomes an h3, headings of its sections h4, or the title of what is folded."""
    parts = [f"<h3>{inline(document.title)}</h3>\n<p>{inline(document.explanation)}</p>\n"]
    for heading, body in document.sections:
        if body.folded:
            parts.append(f"<details>\n<summary>{inline(heading)}</summary>\n{show(body)}</details>\n")
        else:
            parts.append(f"<h4>{inline(heading)}</h4>\n{show(body)}")
    return Markup("".join(parts))


def table_file(kind: str, path: str | Path) -> Markup:
    """A CSV file of the catalogue, or the claims, with the words of the Markdown file beside it."""
    if kind == "claims":
        return show_document(claims.page(claims.read(path)))
    return show_document(summary.render(kind, summary.read_back(kind, path)))


def caption(path: str | Path, **params: object) -> Markup:
    """A caption file of Snakemake's report as HTML. Raises UserError naming the file if it is no valid reStructuredText."""
    environment = Environment(trim_blocks=True, lstrip_blocks=True)
    # The result is reStructuredText, in which nothing is HTML; docutils escapes what is put in.
    text = environment.from_string(Path(path).read_text(encoding="utf-8")).render(
        snakemake=SimpleNamespace(params=SimpleNamespace(**params))
    )
    try:
        return Markup(publish_parts(text, writer="html5", settings_overrides=SAFE)["body"])
    except Exception as error:
        raise UserError(f"{path}: not valid reStructuredText ({error}).") from error


def figure(path: str | Path) -> dict:
    """A PNG file for an `img` element: `uri` (all of it, base64), `width` and `height` in pixels."""
    content = Path(path).read_bytes()
    if content[:8] != b"\x89PNG\r\n\x1a\n":
        raise UserError(f"{path}: not a PNG file. Delete it and run its rule again.")
    width, height = struct.unpack(">II", content[16:24])
    return {"uri": f"data:image/png;base64,{base64.b64encode(content).decode()}", "width": width, "height": height}
