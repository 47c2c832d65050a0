"""Jobs of a dead run in this folder are found; nobody else's are touched."""

import pytest

from scalebio.errors import UserError
from scalebio.slurm import orphans
from scalebio.slurm.queue import NoAnswer, QueuedJob

DEAD, LIVE = "scalebio_9d2f8a34-1f57-4c3b-8f0e-5a8a1c2b3d4e", "scalebio_2b1e9c1c-6f0e-4d55-9a38-0c1f6c7d2f10"


def lives(run: str) -> bool:
    return run == LIVE


@pytest.fixture
def queued(tmp_path, monkeypatch):
    """A queue in which jobs are two orphans, one running and one pending, and six that are none of ours."""
    here, rule = str(tmp_path), "rule_learn_weights_wildcards_sums_tiny_scalebio_0"
    (tmp_path / "link").symlink_to(tmp_path)
    jobs = [
        QueuedJob("1", DEAD, "RUNNING", here, rule),
        QueuedJob("2", DEAD, "PENDING", str(tmp_path / "link"), "rule_hypergradient"),
        QueuedJob("3", LIVE, "RUNNING", here, rule),
        QueuedJob("4", DEAD, "RUNNING", here + "2", rule),
        QueuedJob("5", "jupyter", "RUNNING", here, "(null)"),
        QueuedJob("6", DEAD.removeprefix("scalebio_"), "RUNNING", here, rule),
        QueuedJob("7", DEAD, "RUNNING", here, "by hand"),
        QueuedJob("8", DEAD.replace("scalebio", "other"), "RUNNING", here, rule),
    ]
    cancelled = []

    def cancel(numbers):
        cancelled.extend(numbers)

    monkeypatch.setattr(orphans, "my_jobs", lambda: [job for job in jobs if job.number not in cancelled])
    monkeypatch.setattr(orphans, "cancel", cancel)
    monkeypatch.delenv(orphans.VARIABLE, raising=False)
    return jobs, cancelled, here


def test_finds_only_jobs_of_dead_runs_of_this_folder(queued):
    jobs, _, here = queued
    assert [job.number for job in orphans.find(jobs, here, "scalebio", lives)] == ["1", "2"]
    assert [job.number for job in orphans.find(jobs, here, None, lives)] == ["6"]


def test_stops_and_names_them_with_the_ways_on(queued):
    _, cancelled, here = queued
    with pytest.raises(UserError) as fault:
        orphans.settle(here, "scalebio", lives, print)
    message = str(fault.value)
    assert "  1    RUNNING  learn_weights  sums_tiny_scalebio_0\n  2    PENDING  hypergradient\n" in message
    assert "\n  scancel 1 2\n" in message and "SCALEBIO_SLURM_ORPHANS=cancel" in message and "wait" in message
    assert cancelled == []


def test_cancels_them_alone_and_waits_until_they_are_gone(queued, monkeypatch):
    jobs, cancelled, here = queued
    answers = []

    def my_jobs():
        # The first look after scancel still shows one of them, ending.
        answers.append(None)
        return jobs if len(answers) <= 2 else [job for job in jobs if job.number not in cancelled]

    monkeypatch.setattr(orphans, "my_jobs", my_jobs)
    monkeypatch.setenv(orphans.VARIABLE, "cancel")
    said = []
    orphans.settle(here, "scalebio", lives, said.append, pause=0)
    assert cancelled == ["1", "2"] and len(answers) == 3
    assert "learn_weights" in said[0]


def test_a_job_that_will_not_go_is_named(queued, monkeypatch):
    monkeypatch.setattr(orphans, "my_jobs", lambda: queued[0])
    monkeypatch.setenv(orphans.VARIABLE, "cancel")
    with pytest.raises(UserError, match="still there(.|\n)*hypergradient"):
        orphans.settle(queued[2], "scalebio", lives, print, patience=0, pause=0)


def test_an_outage_is_waited_for_then_said(queued, monkeypatch):
    jobs, _, here = queued
    left = [NoAnswer("away"), NoAnswer("away")]

    def my_jobs():
        if left:
            raise left.pop()
        return jobs[2:]

    monkeypatch.setattr(orphans, "my_jobs", my_jobs)
    said = []
    orphans.settle(here, "scalebio", lives, said.append, pause=0)
    assert len(said) == 1 and "away" in said[0]
    left[:] = [NoAnswer("away")] * 9
    with pytest.raises(UserError, match="squeue"):
        orphans.settle(here, "scalebio", lives, said.append, patience=-1, pause=0)


def test_an_unknown_wish_is_refused(queued, monkeypatch):
    monkeypatch.setenv(orphans.VARIABLE, "yes")
    with pytest.raises(UserError, match="ORPHANS=yes: expected `stop`"):
        orphans.settle(queued[2], "scalebio", lives, print)
