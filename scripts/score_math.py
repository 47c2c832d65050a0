"""Grade a model's answers to GSM8K and MATH, and count the right ones. Takes no settings."""

from collections import Counter
from pathlib import Path

from scalebio.cli import parser, run
from scalebio.files import read_jsonl, replacing, write_jsonl
from scalebio.maths import scores
from scalebio.maths.grading import grade
from scalebio.provenance import numbered, write_beside


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--questions", type=Path, required=True, nargs="+", help="questions.jsonl of each benchmark")
    arguments.add_argument("--answers", type=Path, required=True, help="answers.jsonl of one model")
    arguments.add_argument("--graded", type=Path, required=True, help="graded.jsonl to write: one row a question")
    arguments.add_argument("--scores", type=Path, required=True, help="scores.csv to write")
    given = arguments.parse_args()
    known = {(row["benchmark"], row["id"]): row for path in given.questions for row in read_jsonl(path)}
    rows = []
    for row in read_jsonl(given.answers):
        question = known[row["benchmark"], row["id"]]
        asked = {key: question[key] for key in ("benchmark", "id", "subject", "level", "gold")}
        verdict = grade(row["benchmark"], question["gold"], row["answer"])
        rows.append({**asked, **verdict._asdict(), "shortened": row["shortened"]})
    write_jsonl(given.graded, rows)
    table = scores.table(rows)
    with replacing(given.scores) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")
    inputs = {"answers": given.answers, **numbered(given.questions, "questions")}
    write_beside(given.scores, {}, inputs, graded=given.graded)
    for row in table[table["grouping"] == scores.ALL].itertuples():
        print(
            f"{row.benchmark}: {row.correct} of {row.n} right, {row.accuracy:.1%} ({row.low:.1%} to {row.high:.1%}); "
            f"{row.unparsed} could not be compared"
        )
    for problem, count in Counter(row["problem"] for row in rows if row["problem"]).items():
        print(f"{problem}: {count}")


if __name__ == "__main__":
    run(main)
