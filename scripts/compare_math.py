"""Compare the methods of an experiment on GSM8K and MATH, question by question.

--settings: {"runs": [{"method": "uniform", "seed": 0}, ...] in the order of --graded, "baseline": "uniform"}
"""

from pathlib import Path

from scalebio.cli import parser, run
from scalebio.files import read_jsonl, replacing
from scalebio.maths import comparisons, scores
from scalebio.maths.settings import Comparisons
from scalebio.mtbench.settings import checked
from scalebio.provenance import numbered, write_beside


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--graded", type=Path, required=True, nargs="+", help="graded.jsonl of every run")
    arguments.add_argument("--differences", type=Path, required=True, help="differences.csv to write")
    given = arguments.parse_args()
    settings = checked(Comparisons, given.settings)
    graded = zip(settings.runs, given.graded, strict=True)
    runs = [(one.method, one.seed, read_jsonl(path)) for one, path in graded]
    table = comparisons.table(runs, settings.baseline)
    with replacing(given.differences) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")
    write_beside(given.differences, given.settings, numbered(given.graded, "graded"))
    for row in table[(table["grouping"] == scores.ALL) & (table["seed"] == scores.ALL)].itertuples():
        print(
            f"{row.benchmark}, {row.method} minus {row.baseline}: {row.difference:+.1%} ({row.low:+.1%} to "
            f"{row.high:+.1%}), p = {row.p:.2g}, {row.verdict}"
        )


if __name__ == "__main__":
    run(main)
