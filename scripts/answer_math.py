"""Let a model answer the questions of GSM8K and MATH.

--settings: {"limits": {"gsm8k": null, "math": 500}, "prompt": "{question} ...", "max_new_tokens": 1024, "batch": 32,
             "max_length": 4096, "engine": "auto", "chat_template": null}
"""

from pathlib import Path

from scalebio.cli import claim, expected, gpu_parser, run
from scalebio.files import read_jsonl, write_jsonl
from scalebio.maths.benchmarks import drawn
from scalebio.maths.settings import Answers
from scalebio.mtbench.settings import checked
from scalebio.provenance import numbered, write_beside


def main() -> None:
    arguments = gpu_parser(__doc__)
    arguments.add_argument("--model", type=Path, required=True, help="provenance.json in the model's folder")
    arguments.add_argument("--questions", type=Path, required=True, nargs="+", help="questions.jsonl of each benchmark")
    arguments.add_argument("--journal", type=Path, required=True, help="batches of an interrupted run, taken up again")
    arguments.add_argument("--output", type=Path, required=True, help="answers.jsonl")
    given = arguments.parse_args()
    claim(given.output, given.journal)
    settings = checked(Answers, given.settings)
    files = [read_jsonl(path) for path in given.questions]
    asked = [question for rows in files for question in drawn(rows, settings.limits.get(rows[0]["benchmark"]))]

    # Only now: bad settings should not have to wait for torch.
    from scalebio.journal import Journal
    from scalebio.maths.answering import answer
    from scalebio.mtbench import engines
    from scalebio.preflight import check_expected

    check_expected(expected(given), given.output.parent)
    how = settings.model_dump(exclude={"limits"})
    kind, template = how.pop("engine"), how.pop("chat_template")
    engine = engines.load(given.model.parent, kind, settings.max_length, template, section="evaluations.math")
    made_under = given.model.read_text(encoding="utf-8")
    with Journal(given.journal) as done:
        rows = answer(engine, asked, **how, done=done, made_under=made_under)
    write_jsonl(given.output, rows)
    inputs = {"model": given.model, **numbered(given.questions, "questions")}
    write_beside(given.output, given.settings, inputs, engine.tokenizer)
    print(f"{len(rows)} questions answered; {sum(row['shortened'] for row in rows)} with a shortened prompt")


if __name__ == "__main__":
    run(main)
