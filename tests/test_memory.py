"""Peak memory is a process's own, not that of what started it, and never falls."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from scalebio.memory import peak_resident_bytes

MIB = 2**20
CHILD = "import sys; sys.path.insert(0, sys.argv[1]); from scalebio.memory import peak_resident_bytes as peak; "


def in_a_child(code: str) -> list[int]:
    scripts = str(Path(__file__).resolve().parent.parent / "scripts")
    out = subprocess.run(
        [sys.executable, "-c", CHILD + code, scripts], check=True, capture_output=True, text=True
    ).stdout
    return [int(word) for word in out.split()]


def test_what_started_a_process_does_not_count():
    large = np.ones(300 * MIB, dtype=np.uint8)
    assert peak_resident_bytes() > large.nbytes
    (own,) = in_a_child("print(peak())")
    assert own < 200 * MIB


def test_what_was_let_go_counts():
    before, after = in_a_child(f"print(peak()); large = b'x' * {100 * MIB}; del large; print(peak())")
    assert after - before > 90 * MIB
