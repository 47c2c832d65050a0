"""Turn the judgments of an experiment into scores with 95 % intervals and into differences between methods.

--settings: {"runs": [{"model_id": "x-tiny-uniform-seed0", "method": "uniform", "seed": 0}, ...], "baseline": "uniform",
"seed": 0}; judge and question set are read from the judgments, so that they cannot be mislabelled.
"""

from pathlib import Path

from scalebio.cli import parser, run
from scalebio.files import read_jsonl, replacing
from scalebio.mtbench import comparisons, scores
from scalebio.mtbench.settings import Scores, checked
from scalebio.provenance import write_beside


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--judgments", type=Path, required=True, help="judgments.jsonl")
    arguments.add_argument("--scores", type=Path, required=True, help="scores.csv to write")
    arguments.add_argument("--differences", type=Path, required=True, help="differences.csv to write")
    given = arguments.parse_args()
    settings = checked(Scores, given.settings)
    judgments = read_jsonl(given.judgments)
    runs = [scores.Judged(run.model_id, run.method, run.seed) for run in settings.runs]
    differences = comparisons.table(judgments, runs, settings.baseline, settings.seed)
    table = scores.table(judgments, settings.seed)
    for path, frame in ((given.scores, table), (given.differences, differences)):
        with replacing(path) as temporary:
            frame.to_csv(temporary, index=False, float_format="%.6g")
    write_beside(given.scores, given.settings, {"judgments": given.judgments}, differences=given.differences)
    for row in table[(table["category"] == scores.ALL) & (table["turn"] == scores.BOTH)].itertuples():
        print(
            f"{row.model}: score {row.score:.2f} ({row.low:.2f} to {row.high:.2f}), {row.n} ratings, {row.failed} failed"
        )
    for row in differences[(differences["category"] == scores.ALL) & (differences["seed"] == scores.ALL)].itertuples():
        what = f"{row.method} minus {row.baseline}" if row.comparison == comparisons.METHOD else row.comparison
        print(f"{what}: {row.difference:+.2f} ({row.low:+.2f} to {row.high:+.2f}), {row.verdict}")
    first = table.iloc[0]
    print(
        f"judge: {first['judge']}{f' ({note})' if (note := first['judge_note']) else ''}; questions: {first['questions']}"
    )


if __name__ == "__main__":
    run(main)
