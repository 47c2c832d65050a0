"""Table and figure of the planted tasks on made-up rows: every number in its place, nothing drawn that is not there."""

import json
import subprocess
import sys

import pytest
from matplotlib.text import Text

from scalebio.figures import house, planted
from scalebio.tables import planted as table


def row(task, method, seed, tv, regret, **more):
    facts = {"base": "poor", "weights": [0.7, 0.3], "gap_closed": None if regret is None else 1 - regret}
    facts |= {"test_loss": None, "check_ratio": None, "verdict": None, "cpu_seconds": 2.0}
    return {"task": task, "method": method, "seed": seed, "tv": tv, "regret": regret} | facts | more


@pytest.fixture
def rows():
    return [
        row("conf73", "uniform", 40, 0.5, 1.0),
        row("conf73", "uniform", 41, 0.5, 1.0),
        row("conf73", "improved", 40, 0.01, 0.004, check_ratio=0.02, verdict="confirmed"),
        row("conf73", "improved", 41, 0.03, 0.016, check_ratio=None, verdict="not confirmed"),
        row("pref4", "improved", 40, 0.02, None, check_ratio=0.2, verdict="not confirmed"),
    ]


def test_the_summary_puts_seeds_side_by_side(rows):
    text = table.summary(table.tidy(rows)).markdown()
    assert (
        "| conf73, poor base | improved | 0.010 0.030 | 0.004 0.016 | 0.010 | 0.996 0.984 | 0.02 c; – n | 2.0 |" in text
    )
    assert "| pref4, poor base | improved | 0.020 |  |  |  | 0.20 n | 2.0 |" in text
    assert table.tidy(rows)["weights"].iloc[0] == "0.7 0.3"


def test_tasks_without_a_trained_model_have_no_regret_panel(rows):
    frame = table.tidy(rows)
    with house.style():
        figure = planted.draw(frame, {})
    left, right = figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["conf73", "pref4"]
    assert [label.get_text() for label in right.get_yticklabels()] == ["conf73"]
    words = {text.get_text() for text in figure.findobj(Text)}
    assert {"uniform", "improved"} <= words
    drawn = [x for line in left.lines if line.get_marker() == "^" for x in line.get_xdata()]
    assert sorted(drawn) == [0.01, 0.02, 0.03]


def test_the_entry_point_writes_all_four_files(root, tmp_path, rows):
    (tmp_path / "a.json").write_text(json.dumps({"rows": rows}))
    command = [sys.executable, root / "scripts" / "tabulate_planted.py", tmp_path / "a.json"]
    for name in ("csv", "markdown", "pdf", "png"):
        command += [f"--{name}", tmp_path / f"out.{name}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all((tmp_path / f"out.{name}").stat().st_size for name in ("csv", "markdown", "pdf", "png"))
