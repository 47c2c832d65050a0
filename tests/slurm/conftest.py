"""A real SLURM cluster for the tests in this folder, all of them marked `slurm`; skipped with a reason where none can be.

A cluster starts in half a second (three with the database), so every file of tests has its own, and every test finds
it as good as new. Two workers of pytest-xdist run two clusters that know nothing of each other.
"""

import fcntl
import os
import shutil
import sys
from pathlib import Path

import pytest
import training
from clones import Clone
from debian import obstacle
from limits import time_limit
from study import Workplace

HERE = Path(__file__).resolve().parent

# What a cluster needs, and the package that has it.
CLUSTER = {
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "sbatch": "slurm-client",
    "munged": "munge",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "mount": "mount",
    "hostname": "hostname",
}
DATABASE = {"slurmdbd": "slurmdbd", "mariadbd": "mariadb-server"}

# Seconds of wall time that a test may take unless it says otherwise: `@pytest.mark.slurm(limit=600)`.
LIMIT = 400


@pytest.hookimpl(tryfirst=True)  # before pytest chooses by marker
def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.slurm)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    limits = [marker.kwargs["limit"] for marker in item.iter_markers("slurm") if "limit" in marker.kwargs]
    with time_limit(limits[0] if limits else LIMIT, item.nodeid):
        return (yield)


def _skip_without_slurm(database: bool = False) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("no SLURM cluster here: its daemons run on Linux only")
    if os.geteuid() != 0:
        pytest.skip("no SLURM cluster here: one of one's own takes root, for its namespaces and host names")
    if reason := obstacle(CLUSTER | (DATABASE if database else {})):
        pytest.skip(f"no SLURM cluster here: {reason}")


@pytest.fixture(scope="module")
def _module_cluster(tmp_path_factory):
    _skip_without_slurm()
    with Workplace(tmp_path_factory.mktemp("cluster")) as made:
        yield made


@pytest.fixture(scope="module")
def _module_accounting_cluster(tmp_path_factory):
    _skip_without_slurm(database=True)
    with Workplace(tmp_path_factory.mktemp("accounting"), database=True) as made:
        yield made


@pytest.fixture
def cluster(_module_cluster) -> Workplace:
    """Two idle nodes of 8 GPUs, 32 CPUs and 64 GB each, without accounting."""
    _module_cluster.restore()
    return _module_cluster


@pytest.fixture
def accounting_cluster(_module_accounting_cluster) -> Workplace:
    """The same with slurmdbd and MariaDB, so that sacct answers."""
    _module_accounting_cluster.restore()
    return _module_accounting_cluster


@pytest.fixture
def new_cluster(tmp_path_factory):
    """new_cluster(nodes=4, database=True, settings={"KillWait": 30}, ...) → one of the test's own, running."""
    made = []

    def make(**options) -> Workplace:
        _skip_without_slurm(options.get("database", False))
        made.append(Workplace(tmp_path_factory.mktemp("cluster"), **options))
        made[-1].start()
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture(scope="session")
def trained(finished, tmp_path_factory):
    """The small study with a longer training, and what that gives on this machine without a cluster; read only."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    made = Clone(base / "trained here")
    with open(base / "trained.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (base / "trained.txt").exists():
            shutil.copytree(finished.path, made.path)
            training.lengthen(made)
            made.run(training.WEIGHTS)
            (base / "trained.txt").touch()
    return made


@pytest.fixture
def training_clone(trained, tmp_path) -> Clone:
    """A copy in which that training is still to be done."""
    shutil.copytree(trained.path, tmp_path / "copy")
    (tmp_path / "copy" / training.WEIGHTS).unlink()
    return Clone(tmp_path / "copy")


@pytest.fixture
def short_clone(finished_copy) -> Clone:
    """A copy of the small study in which only its training of three steps is still to be done."""
    (finished_copy.path / training.WEIGHTS).unlink()
    return finished_copy
