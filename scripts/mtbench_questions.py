"""Write the two-turn questions that models are asked: MT-Bench's 80, or ones made from an experiment's test rows.

--settings: {"data": [...], "references": "gpt-4", "from_test_set": null, "seed": 0}, as in evaluations.mtbench
"""

from pathlib import Path

from scalebio import records
from scalebio.cli import parser, run
from scalebio.errors import UserError
from scalebio.files import write_jsonl
from scalebio.mtbench import data, questions
from scalebio.mtbench.settings import Questions, checked
from scalebio.provenance import write_beside


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--test", type=Path, help="the pool's test.parquet; needed with `from_test_set`")
    arguments.add_argument("--downloads", type=Path, required=True, help="folder where wheels are kept")
    arguments.add_argument("--output", type=Path, required=True, help="questions.jsonl")
    given = arguments.parse_args()
    settings = checked(Questions, given.settings)
    inputs = {"test": given.test} if settings.from_test_set and given.test else {}
    if not settings.from_test_set:
        files = [data.find(what, settings.data, given.downloads) for what in (data.QUESTIONS, settings.references)]
        asked = questions.mt_bench(*files, settings.references)
        inputs = {"questions": files[0], "references": files[1]}
    elif given.test:
        asked = questions.from_records(records.read(given.test), settings.from_test_set, settings.seed)
    else:
        raise UserError("mtbench.from_test_set makes questions of test rows: give them with --test test.parquet.")
    write_jsonl(given.output, asked)
    write_beside(given.output, given.settings, inputs)
    print(f"{len(asked)} questions ({asked[0]['set']}) in {len({q['category'] for q in asked})} categories")


if __name__ == "__main__":
    run(main)
