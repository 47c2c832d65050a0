"""What `squeue` says is read rightly, and only the executor's own names count as runs."""

import pytest

from scalebio.slurm import queue

# Recorded from slurm 22.05 with this module's FORMAT.
RECORDED = """\
7|scalebio_2b1e9c1c-6f0e-4d55-9a38-0c1f6c7d2f10|RUNNING|/shared/clone|rule_learn_weights_wildcards_sums_tiny_scalebio_0
8|scalebio_2b1e9c1c-6f0e-4d55-9a38-0c1f6c7d2f10|PENDING|/shared/clone|rule_hypergradient
9|jupyter|RUNNING|/home/me|(null)
10|9d2f8a34-1f57-4c3b-8f0e-5a8a1c2b3d4e|COMPLETED|/shared/cl|one|rule_a|b_wildcards_x|y
"""


def test_reads_recorded_lines():
    first, second, other, odd = queue.parse(RECORDED)
    assert (first.number, first.state, first.folder) == ("7", "RUNNING", "/shared/clone")
    assert (first.rule, first.wildcards) == ("learn_weights", "sums_tiny_scalebio_0")
    assert (second.rule, second.wildcards) == ("hypergradient", "")
    assert first.alive and second.alive and not odd.alive
    assert other.comment == "(null)"
    assert queue.parse("\n") == []


@pytest.mark.parametrize(
    "state", ["PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "REQUEUED", "NEW_STATE"]
)
def test_what_may_yet_run_is_alive(state):
    assert queue.QueuedJob("1", "r", state, "/", "").alive


def test_knows_names_of_runs_by_prefix_and_form():
    uuid = "9d2f8a34-1f57-4c3b-8f0e-5a8a1c2b3d4e"
    assert queue.is_run(f"scalebio_{uuid}", "scalebio") and queue.is_run(uuid, None) and queue.is_run(uuid, "")
    assert queue.is_run(f"my_lab-2_{uuid}", "my_lab-2")
    for name, prefix in [
        (uuid, "scalebio"),
        (f"scalebio_{uuid}", None),
        (f"other_{uuid}", "scalebio"),
        (f"scalebio_{uuid}0", "scalebio"),
        (f"scalebio_{uuid[:-1]}", "scalebio"),
        ("scalebio", "scalebio"),
        (f"scalebio_{uuid}".replace("4c3b", "1c3b"), "scalebio"),
    ]:
        assert not queue.is_run(name, prefix), name


def test_a_client_that_fails_or_is_missing_is_no_answer(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(queue.NoAnswer, match="squeue"):
        queue.my_jobs()
    (tmp_path / "squeue").write_text("#!/bin/sh\necho 'Unable to contact slurm controller' >&2\nexit 1\n")
    (tmp_path / "squeue").chmod(0o755)
    with pytest.raises(queue.NoAnswer, match="Unable to contact"):
        queue.jobs_of_run("x")
