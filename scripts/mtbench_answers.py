"""Let a model answer two-turn questions, and write its answers in FastChat's fields.

--settings: {"model_id": "...", "seed": 0, "max_new_tokens": 1024, "batch": 8, "max_length": 4096}
"""

from pathlib import Path

from scalebio.cli import parser, run
from scalebio.files import write_jsonl
from scalebio.mtbench import questions
from scalebio.mtbench.settings import Answers, checked


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--model", type=Path, required=True, help="folder in the Hugging Face layout")
    arguments.add_argument("--questions", type=Path, required=True, help="questions.jsonl")
    arguments.add_argument("--output", type=Path, required=True, help="answers.jsonl")
    given = arguments.parse_args()
    settings = checked(Answers, given.settings)
    asked = questions.read(given.questions)

    # Only now: bad settings should not have to wait for torch.
    from scalebio import base_models
    from scalebio.mtbench.answering import answer

    model, tokenizer = base_models.load(given.model)
    rows = answer(model.to(base_models.device()), tokenizer, asked, **settings.model_dump())
    write_jsonl(given.output, rows)
    cut = sum(any(row["shortened"]) for row in rows)
    print(f"{len(rows)} questions answered by {settings.model_id}; {cut} with a shortened prompt")


if __name__ == "__main__":
    run(main)
