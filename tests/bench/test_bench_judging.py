"""How near judging comes to the ideal with a judge of fixed latency, measured as `snakemake bench_judging` does."""

import json
import subprocess
import sys

import pytest

from scalebio.bench import judging


@pytest.mark.slow
def test_one_model_takes_little_more_than_the_latency(root):
    """`make bench` states the figure; the bar here leaves room for other tests on the same machine."""
    command = [sys.executable, str(root / "scripts/bench_judging.py"), "--child", "1"]
    rows = []
    for _ in range(3):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows.append(json.loads(done.stdout))
        if rows[-1]["ratio_to_ideal"] < 1.3:
            break
    best = min(rows, key=lambda row: row["seconds"])
    assert list(best) == judging.COLUMNS
    assert best["judgments"] == 160 and best["ideal_seconds"] == 1.0 and best["repeat_calls"] == 0
    assert 1.0 <= best["ratio_to_ideal"] < 2.0
