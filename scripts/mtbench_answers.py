"""Let a model answer two-turn questions, and write its answers in FastChat's fields.

--settings: {"model_id": "...", "seed": 0, "max_new_tokens": 1024, "batch": 8, "max_length": 4096,
             "engine": "auto", "chat_template": null}
"""

from pathlib import Path

from scalebio.cli import claim, expected, gpu_parser, run
from scalebio.files import write_jsonl
from scalebio.mtbench import questions
from scalebio.mtbench.settings import Answers, checked
from scalebio.provenance import write_beside


def main() -> None:
    arguments = gpu_parser(__doc__)
    arguments.add_argument("--model", type=Path, required=True, help="provenance.json in the model's folder")
    arguments.add_argument("--questions", type=Path, required=True, help="questions.jsonl")
    arguments.add_argument("--journal", type=Path, required=True, help="batches of an interrupted run, taken up again")
    arguments.add_argument("--output", type=Path, required=True, help="answers.jsonl")
    given = arguments.parse_args()
    claim(given.output, given.journal)
    settings = checked(Answers, given.settings)
    asked = questions.read(given.questions)

    # Only now: bad settings should not have to wait for torch.
    from scalebio.journal import Journal
    from scalebio.mtbench import engines
    from scalebio.mtbench.answering import answer
    from scalebio.preflight import check_expected

    check_expected(expected(given), given.output.parent)
    how = settings.model_dump()
    engine = engines.load(given.model.parent, how.pop("engine"), settings.max_length, how.pop("chat_template"))
    made_under = given.model.read_text(encoding="utf-8")
    with Journal(given.journal) as done:
        rows = answer(engine, asked, **how, done=done, made_under=made_under)
    write_jsonl(given.output, rows)
    write_beside(given.output, given.settings, {"model": given.model, "questions": given.questions}, engine.tokenizer)
    cut = sum(any(row["shortened"]) for row in rows)
    print(f"{len(rows)} questions answered by {settings.model_id}; {cut} with a shortened prompt")


if __name__ == "__main__":
    run(main)
