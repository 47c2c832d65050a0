"""Have a judge rate the answers of all models of an experiment from 1 to 10, in FastChat's fields.

--settings: {"judge": {"kind": ...}, "data": [origins of the judge's prompts]}, both as in evaluations.mtbench
The key of a hosted judge is read from the environment variable JUDGE_API_KEY and written nowhere.
"""

from pathlib import Path

from scalebio.cli import claim, parser, run
from scalebio.files import read_jsonl, write_jsonl
from scalebio.journal import Journal
from scalebio.mtbench import data, endpoints, prompts, questions
from scalebio.mtbench.judging import judge
from scalebio.mtbench.settings import Judgments, checked
from scalebio.provenance import numbered, write_beside


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--questions", type=Path, required=True, help="questions.jsonl")
    arguments.add_argument("--answers", type=Path, nargs="+", required=True, help="answers.jsonl of each model")
    arguments.add_argument("--downloads", type=Path, required=True, help="folder where wheels are kept")
    arguments.add_argument("--journal", type=Path, required=True, help="finished calls; none is made or paid for twice")
    arguments.add_argument("--output", type=Path, required=True, help="judgments.jsonl")
    given = arguments.parse_args()
    claim(given.output, given.journal)
    settings = checked(Judgments, given.settings)
    asked, answers = questions.read(given.questions), [read_jsonl(path) for path in given.answers]
    found = data.find(data.PROMPTS, settings.data, given.downloads)
    templates, digest = prompts.read(found)
    with Journal(given.journal) as done, endpoints.started(settings.judge, given.downloads) as endpoint:
        rows = judge(asked, answers, templates, digest, endpoint, settings.judge, done)
    write_jsonl(given.output, rows)
    inputs = {"questions": given.questions, "prompts": found, **numbered(given.answers, "answers")}
    write_beside(given.output, given.settings, inputs)


if __name__ == "__main__":
    run(main)
