"""A readable table is described once, and its Markdown and its LaTeX are both made from that.

Text is plain, with two kinds of marks in it, which each form turns into its own: `name` around what stands in the data or
the study file and is to be shown as it is (`_`, `<`, `$` or `|` included), `strong` around what must not be overlooked.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from math import isnan

import pandas as pd

MISSING = "–"
LOSS_UNIT = "nats per answer token"
# Characters of Unicode's private use, which mean nothing in any text; a name that has them loses them.
NAME, NAME_END, STRONG, STRONG_END = MARKS = "\ue000\ue001\ue002\ue003"
# What LaTeX reads as a command, and what its text fonts lack.
LATEX = str.maketrans(
    {
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
        **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "`": r"\textasciigrave{}"},
        **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "…": r"\ldots{}"},
        **{"−": "$-$", "→": r"$\to$", "×": r"$\times$", "·": r"$\cdot$", "≥": r"$\geq$", "≤": r"$\leq$"},
        **{"α": r"$\alpha$", "γ": r"$\gamma$", "λ": r"$\lambda$"},
        **{NAME: r"\texttt{", NAME_END: "}", STRONG: r"\textbf{", STRONG_END: "}"},
    }
)
# More rows than fit on a page.
LONG = 40


def name(text: object) -> str:
    """`text` marked as a name; a line break in it becomes a space."""
    text = " ".join(str(text).splitlines())
    return f"{NAME}{text.translate(dict.fromkeys(map(ord, MARKS)))}{NAME_END}"


def strong(text: str) -> str:
    """`text` marked as not to be overlooked; names may stand in it."""
    return f"{STRONG}{text}{STRONG_END}"


def number(value: float | None, digits: int = 4, sign: bool = False) -> str:
    """A number with fixed digits, or a dash where there is none."""
    if value is None or isnan(value):
        return MISSING
    return f"{value:{'+' if sign else ''}.{digits}f}"


def probability(value: float) -> str:
    """A p-value with four digits, or that it is below the smallest of them."""
    return "< 0.0001" if value < 0.0001 else number(value)


def span(low: float, high: float, digits: int = 4, sign: bool = False) -> str:
    """An interval `low … high`, or a dash where there is none."""
    return MISSING if isnan(low) else f"{number(low, digits, sign)} … {number(high, digits, sign)}"


def mean_and_range(values: pd.Series, digits: int = 4) -> list[str]:
    """Two cells: the mean, and smallest … largest, a dash for a single value."""
    return [number(values.mean(), digits), span(values.min(), values.max(), digits) if len(values) > 1 else MISSING]


def as_markdown(text: str) -> str:
    """Marked text as Markdown: names as code spans that show them literally, also inside a table."""
    text = re.sub(f"{NAME}(.*?){NAME_END}", lambda found: _code_span(found[1]), text)
    # Else a cell would end there; outside tables it reads the same.
    return text.replace("|", "\\|").replace(STRONG, "**").replace(STRONG_END, "**")


def _code_span(text: str) -> str:
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    pad = " " if "`" in text else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def as_latex(text: str) -> str:
    """Marked text as LaTeX: escaped, names in typewriter type, a minus before a number as a minus."""
    return re.sub(r"(?<![\w}.-])-(?=[\d.])", "$-$", text.translate(LATEX))


@dataclass(frozen=True)
class Grid:
    """Rows of marked text under a header; the first `left` columns are text, the others numbers. `note` stands before it;
    `folded`: where a page can fold, it is shown on request only.
    """

    header: list[str]
    rows: list[list[str]]
    note: str = ""
    left: int = 1
    folded: bool = False

    def markdown(self) -> str:
        """A Markdown table."""
        lines = [self.header, ["---"] * self.left + ["--:"] * (len(self.header) - self.left), *self.rows]
        table = "\n".join("| " + " | ".join(map(as_markdown, line)) + " |" for line in lines) + "\n"
        return f"{as_markdown(self.note)}\n\n{table}" if self.note else table

    def latex(self, caption: str, label: str) -> str:
        """A table environment in the style of `booktabs`, a `longtable` where it is longer than a page."""
        frame = pd.DataFrame(
            [[as_latex(cell) for cell in row] for row in self.rows], columns=list(map(as_latex, self.header))
        )
        return frame.to_latex(
            index=False,
            # Done above, where names are still known from text.
            escape=False,
            column_format="l" * self.left + "r" * (len(self.header) - self.left),
            caption=as_latex(" ".join(filter(None, [f"{caption}.", self.note]))),
            label=f"tab:{label}",
            longtable=len(self.rows) > LONG,
        )


@dataclass(frozen=True)
class Document:
    """A title, one explaining paragraph, and grids with a heading each."""

    title: str
    explanation: str
    sections: list[tuple[str, Grid]]

    def markdown(self) -> str:
        """The whole page."""
        parts = [f"## {as_markdown(heading)}\n\n{body.markdown()}" for heading, body in self.sections]
        return "\n".join([f"# {as_markdown(self.title)}\n", f"{as_markdown(self.explanation)}\n", *parts])

    def latex(self, label: str) -> str:
        """A fragment to `\\input`, which needs the packages booktabs and longtable; labels are tab:`label`-1 and so on."""
        tables = [
            body.latex(f"{self.title}: {heading}", f"{label}-{place}")
            for place, (heading, body) in enumerate(self.sections, 1)
        ]
        return "\n".join(
            [
                r"% Needs \usepackage{booktabs,longtable}, and fonts for the alphabets of the study's names.",
                f"\\paragraph{{{as_latex(self.title)}.}} {as_latex(self.explanation)}\n",
                r"\begingroup\footnotesize\setlength{\tabcolsep}{3pt}",
                *tables,
                r"\endgroup" + "\n",
            ]
        )


def grid(header: list[str], rows: Iterable[list[str]], note: str = "", left: int = 1, folded: bool = False) -> Grid:
    """A `Grid` of these rows."""
    return Grid(header, list(rows), note, left, folded)


def of_frame(frame: pd.DataFrame) -> Grid:
    """A `Grid` of a frame as it is, numbers with three significant digits."""
    rows = [
        [MISSING if pd.isna(value) else name(value) if isinstance(value, str) else f"{value:.3g}" for value in row]
        for row in frame.itertuples(index=False)
    ]
    return grid([name(column) for column in frame.columns], rows)


def document(title: str, explanation: str, sections: Iterable[tuple[str, Grid]]) -> Document:
    """A `Document` of these sections."""
    return Document(title, explanation, list(sections))
