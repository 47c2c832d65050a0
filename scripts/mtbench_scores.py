"""Turn judgments into scores by category and turn, with 95 % intervals over questions.

--settings: {"seed": 0}; judge and question set are read from the judgments, so that they cannot be mislabelled.
"""

from pathlib import Path

from scalebio.cli import parser, run
from scalebio.files import read_jsonl, replacing
from scalebio.mtbench import scores
from scalebio.mtbench.settings import Scores, checked


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--judgments", type=Path, required=True, help="judgments.jsonl")
    arguments.add_argument("--output", type=Path, required=True, help="scores.csv")
    given = arguments.parse_args()
    settings = checked(Scores, given.settings)
    table = scores.table(read_jsonl(given.judgments), settings.seed)
    with replacing(given.output) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")
    both = table[(table["category"] == scores.ALL) & (table["turn"] == scores.BOTH)].iloc[0]
    print(
        f"score {both['score']:.2f} ({both['low']:.2f} to {both['high']:.2f}), {both['n']} ratings, "
        f"{both['failed']} failed; judge: {both['judge']}; questions: {both['questions']}"
    )


if __name__ == "__main__":
    run(main)
