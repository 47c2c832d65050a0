"""A live line on a terminal, plain lines elsewhere."""

import io

import pytest

from scalebio.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_log_gets_few_plain_lines_and_the_last():
    out = io.StringIO()
    progress = Progress("weights", seconds=1000, stream=out)
    for done in range(1, 6):
        progress(done, 5, f"L1 {done}", tokens=100)
    assert out.getvalue().count("\n") == 1 and out.getvalue().startswith("weights: 5/5, ")
    assert " tokens/s  L1 5" in out.getvalue() and "\r" not in out.getvalue()


def test_a_terminal_has_one_line_rewritten():
    out = Terminal()
    progress = Progress("weights", stream=out)
    progress.seconds = 0
    for done in range(1, 4):
        progress(done, 3, "x")
    assert out.getvalue().count("\r") == 3 and out.getvalue().count("\n") == 1


def test_the_time_left_of_a_resumed_run_counts_from_where_it_began():
    out = io.StringIO()
    progress = Progress("weights", seconds=0, stream=out)
    progress.start = progress.seen = progress.start - 10
    progress(91, 100)
    assert "90 s left" in out.getvalue()  # one step took ten seconds, nine are left


@pytest.mark.parametrize("steps", [2, 4])
def test_another_stretch_of_work_has_a_pace_of_its_own(steps):
    stream = io.StringIO()
    progress = Progress("weights", seconds=0, stream=stream)
    progress.start, progress.seen = progress.start - 1000, progress.seen - 1000
    progress(2, steps, "learning", 500)
    progress.seen -= 20
    progress(1, 4, "check", 100)
    line = stream.getvalue().splitlines()[-1]
    assert line.startswith("weights: 1/4, 1000 s, 60 s left, 5 tokens/s") and line.endswith("check")
