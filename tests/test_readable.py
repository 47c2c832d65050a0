"""Readable tables: the same cells in Markdown and LaTeX, names literal in both, LaTeX that a TeX engine can read."""

import re

from scalebio.tables.readable import document, grid, name, number, span, strong

ODD = r"50%_of {a}\b $x$ #1 & <i> ^~ `"


def check_latex(text: str) -> list[list[str]]:
    """Assert that environments and braces balance and each row fills its columns; return the rows' cells.

    There may be no TeX engine, so this checks what one would stumble over.
    """
    assert not re.search("[\ue000-\ue003]", text), "a mark that neither form knows"
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    open_ones, rows, columns = [], [], 0
    for kind, environment, rest in re.findall(r"\\(begin|end)\{(\w+)\}(?:\{(\w+)\})?", body):
        if kind == "begin":
            open_ones.append(environment)
            columns = len(rest or "")
        else:
            assert open_ones.pop() == environment
        assert columns or environment == "table" or kind == "end"
    assert open_ones == []
    bare = re.sub(r"\\[\\&%$#_{}]", "", body)
    assert bare.count("{") == bare.count("}") and bare.count("$") % 2 == 0 and "#" not in bare
    for part in re.findall(
        r"\\begin\{(?:tabular|longtable)\}\{\w+\}.*?\\end\{(?:tabular|longtable)\}", body, re.DOTALL
    ):
        assert all(f"\\{rule}" in part for rule in ("toprule", "midrule", "bottomrule"))
        columns = len(re.match(r"\\begin\{\w+\}\{(\w+)\}", part)[1])
        # A table that breaks over pages has its header again, for the pages after the first.
        for line in re.sub(r"\\endfirsthead.*\\endlastfoot", "", part, flags=re.DOTALL).splitlines():
            if line.endswith(r" \\") and not line.startswith(r"\caption"):
                rows.append(re.split(r"(?<!\\)&", line.removesuffix(r" \\")))
                assert len(rows[-1]) == columns, line
    return [[cell.strip() for cell in row] for row in rows]


def test_names_are_literal_in_both_forms():
    shown = document("A & B", f"See {name(ODD)}: 5 % off.", [(name("x|y"), grid(["m", "n"], [[name(ODD), "1"]]))])
    assert f"`` {ODD} ``" in shown.markdown() and r"`x\|y`" in shown.markdown()
    rows = check_latex(shown.latex("odd"))
    escaped = r"50\%\_of \{a\}\textbackslash{}b \$x\$ \#1 \& \textless{}i\textgreater{} \textasciicircum{}\textasciitilde{} \textasciigrave{}"
    assert rows == [["m", "n"], [rf"\texttt{{{escaped}}}", "1"]]
    assert r"\label{tab:odd-1}" in shown.latex("odd") and r"A \& B: \texttt{x\textbar{}y}." in shown.latex("odd")


def test_a_name_cannot_end_itself():
    shown = grid(["m"], [[name("a\ue001\ue002b")]])
    assert "| `ab` |" in shown.markdown() and r"\texttt{ab}" in shown.latex("c", "l")


def test_intervals_minus_signs_and_notes():
    body = grid(["m", "95 % interval", "95 % interval"], [["a-1", span(-1, 2, 1), number(-0.5)]], strong("Mind."))
    assert "**Mind.**\n\n| m |" in body.markdown() and "| a-1 | -1.0 … 2.0 | -0.5000 |" in body.markdown()
    text = body.latex("c", "l")
    assert check_latex(text)[1] == ["a-1", r"$-$1.0 \ldots{} 2.0", "$-$0.5000"]
    assert r"\caption{c. \textbf{Mind.}}" in text and r"\begin{tabular}{lrr}" in text


def test_a_table_longer_than_a_page_breaks():
    text = grid(["m", "n"], [[str(i), "x"] for i in range(60)], left=2).latex("c", "l")
    assert r"\begin{longtable}{ll}" in text and len([row for row in check_latex(text) if row[1] == "x"]) == 60
