"""What all tests share: the library on the path, one thread each, optional real data, a tiny model."""

import os
import signal
import sys
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# A run in the background may have inherited "ignore Ctrl-C"; what these tests start must not.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))


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
