"""Questions of GSM8K and MATH in one form, whatever fields the data set has.

A question is {"benchmark", "id", "question", "gold", "subject", "level"}: `id` is its row in the data set, from 0; `gold`
the known final answer as LaTeX; `subject` and `level` are empty for GSM8K, which has none.
"""

from collections.abc import Iterable

from scalebio.errors import UserError
from scalebio.maths.final_answers import after_hashes, last_box
from scalebio.streams import stream

FIELDS = ("benchmark", "id", "question", "gold", "subject", "level")
NEEDED = {"gsm8k": ("question", "answer"), "math": ("problem", "solution", "level")}


def questions(benchmark: str, rows: Iterable[tuple[str, object]], origin: str) -> list[dict]:
    """The questions in `rows`, (place, row) pairs in the data set's own fields.

    GSM8K (Cobbe et al. 2021, arXiv 2110.14168): the known answer stands after `####`. MATH (Hendrycks et al. 2021, arXiv
    2103.03874): in the last box of the solution; the subject is called `type`, or `subject` in MATH-500. Raises UserError
    naming `origin` and place of a row without these, or where there are none.
    """
    found = []
    for number, (place, row) in enumerate(rows):
        fields = NEEDED[benchmark]
        missing = [key for key in fields if not isinstance(row, dict) or row.get(key) in (None, "")]
        if missing:
            raise UserError(f"{origin}, {place}: no {' and no '.join(missing)}. {benchmark} needs {', '.join(fields)}.")
        question, solution = (str(row[key]) for key in fields[:2])
        gold = after_hashes(solution) if benchmark == "gsm8k" else last_box(solution)
        if not gold:
            where = "nothing after `####` in `answer`" if benchmark == "gsm8k" else "no \\boxed{} in `solution`"
            raise UserError(f"{origin}, {place}: {where}, so the right answer is unknown. Mend or remove this row.")
        subject, level = str(row.get("subject") or row.get("type") or ""), str(row.get("level", ""))
        labels = ("", "") if benchmark == "gsm8k" else (subject, level.removeprefix("Level "))
        found.append(dict(zip(FIELDS, (benchmark, number, question, gold, *labels), strict=True)))
    if not found:
        raise UserError(f"{origin}: there are no rows in it.")
    return found


def drawn(found: list[dict], limit: int | None) -> list[dict]:
    """At most `limit` of one benchmark's questions, in their order; a larger limit asks these and others."""
    order = stream(0, "math questions", found[0]["benchmark"]).permutation(len(found))[:limit]
    return [found[i] for i in sorted(order.tolist())]
