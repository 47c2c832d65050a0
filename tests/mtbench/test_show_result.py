"""FastChat's own show_result.py, from its wheel, reads our file and prints our means."""

import re
import subprocess
import sys

import pandas as pd
import pytest

from scalebio import packages
from scalebio.errors import UserError
from scalebio.files import write_jsonl
from scalebio.mtbench.parsing import FAILED

SHOW_RESULT = {
    "name": "fschat",
    "version": "0.2.36",
    "sha256": "a66ecf1e90f6db1d015096f6aa8a305d20d0a13e067951285aecdb56a33e9cb1",
    "file": "fastchat/llm_judge/show_result.py",
}


@pytest.fixture
def show_result(mt_bench_file):
    """Path of the script."""
    try:
        return packages.fetch(SHOW_RESULT, mt_bench_file.downloads)
    except UserError as error:
        if "could not be downloaded" in str(error):
            pytest.skip(f"the package registry is out of reach: {error}")
        raise


@pytest.mark.slow
def test_fastchat_prints_our_means(rated, answers, other_answers, show_result, tmp_path):
    def faults(prompt, earlier):
        return "I cannot say." if "5 + 1?" in prompt and "6 + 2?" not in prompt else None

    rows, _ = rated(faults, models=[answers, other_answers], repeats=2)
    assert sum(row["score"] == FAILED for row in rows) == 4
    path = tmp_path / "judgments.jsonl"
    write_jsonl(path, rows)
    command = [sys.executable, str(show_result), "--input-file", str(path)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    readable = pd.DataFrame([row for row in rows if row["score"] != FAILED])
    parts = re.split(r"#{10} .* #{10}", shown)[1:]
    assert len(parts) == 3
    for part, turns in zip(parts, [{1}, {2}, {1, 2}], strict=True):
        printed = {line.split()[0]: float(line.split()[-1]) for line in part.splitlines() if line[:2] in ("m ", "n ")}
        expected = readable[readable["turn"].isin(turns)].groupby("model")["score"].mean()
        assert printed == pytest.approx(expected.to_dict(), abs=1e-5) and set(printed) == {"m", "n"}
