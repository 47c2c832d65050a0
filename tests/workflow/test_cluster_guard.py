"""A run on a cluster that does not answer as it should: lost jobs end it, jobs of a killed run stop the next one.

Each of these would hang, or submit work twice, without workflow/rules/cluster.smk.
"""

import re
import signal
import subprocess
import sys
import time

import pytest
import yaml
from clones import EAGER, ENVIRONMENT, STUDY
from fake_slurm import PROFILE, FakeSlurm

pytest.importorskip("snakemake_executor_plugin_slurm")

TARGET = "results/small/sources/dates.parquet"


@pytest.fixture
def cluster(clone, tmp_path):
    """A clone, a fake SLURM whose jobs stay RUNNING, and what starts Snakemake on both."""
    slurm = FakeSlurm(tmp_path / "slurm", state="RUNNING")
    (clone.path / "site").mkdir()
    (clone.path / "site" / "profile.yaml").write_text(yaml.safe_dump(PROFILE))
    started = []

    def start(*arguments: str, target: str = TARGET, **environment: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, EAGER, target, *arguments, "--profile", "site", "--configfile", STUDY],
            cwd=clone.path,
            env=ENVIRONMENT | {"PATH": slurm.path, "SCALEBIO_SLURM_WATCHDOG_MINUTES": "0.1"} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield slurm, start
    for process in started:
        process.kill()


def wait_for(condition, seconds: float = 60) -> None:
    """Return when `condition()` holds; fail if it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def output(process: subprocess.Popen) -> str:
    """What it prints until it ends. A hang is how these faults show, so there is a limit."""
    return process.communicate(timeout=90)[0]


def test_a_job_that_the_queue_forgot_ends_the_run(cluster):
    slurm, start = cluster
    run = start()
    wait_for(lambda: slurm.calls("squeue") >= 3)
    # As when a job's end is older than MinJobAge at the next poll.
    slurm.change("1", state=None)
    said = output(run)
    assert run.returncode == 1, said
    assert "waits for jobs that have not been in SLURM's queue for 0.1 minutes" in said
    assert "fetch_source (source=dates): SLURM job 1, unknown to squeue" in said
    assert re.search(r"^ +/\S.*/logs/slurm/rule_fetch_source/dates/1\.log$", said, re.MULTILINE)
    assert re.search(r"^ +logs/small/fetch_source/dates\.log$", said, re.MULTILINE)
    assert "Traceback" not in said
    assert slurm.calls("scancel") == 0


def test_a_job_dropped_in_an_outage_ends_the_run_only_when_it_has_ended(cluster):
    slurm, start = cluster
    run = start()
    wait_for(lambda: len(slurm.jobs()) == 1)
    # All tries of one poll fail, and the executor forgets the job.
    slurm.away()
    time.sleep(12)
    assert run.poll() is None, "an outage was taken for an empty queue"
    slurm.away(False)
    time.sleep(10)
    assert run.poll() is None, "the job runs"
    slurm.change("1", state="COMPLETED")
    said = output(run)
    assert run.returncode == 1 and "SLURM job 1, ended as COMPLETED" in said, said


def test_jobs_of_a_killed_run_stop_the_next_one_or_are_cancelled(cluster, clone):
    slurm, start = cluster
    foreign = slurm.add(name="notebook", comment="(null)", folder=str(clone.path), state="RUNNING")
    killed = start()
    wait_for(lambda: len(slurm.jobs()) == 2 and slurm.calls("squeue") >= 2)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    orphan = slurm.jobs()[1]["number"]
    slurm.change(orphan, state="PENDING")

    said = output(start())
    assert "--unlock" in said, said
    assert start("--unlock").wait(60) == 0
    stopped = start()
    said = output(stopped)
    assert stopped.returncode == 1 and len(slurm.jobs()) == 2
    assert re.search(rf"^  {orphan} +PENDING +fetch_source +dates$", said, re.MULTILINE), said
    assert f"scancel {orphan}\n" in said and "Traceback" not in said and "cluster.smk" not in said

    again = start(SCALEBIO_SLURM_ORPHANS="cancel")
    wait_for(lambda: len(slurm.jobs()) == 3)
    states = {job["number"]: job["state"] for job in slurm.jobs()}
    assert states == {foreign: "RUNNING", orphan: "CANCELLED", "3": "RUNNING"}
    slurm.change("3", state="FAILED")
    assert "They are gone." in output(again)


def test_what_an_orphan_finishes_counts(cluster):
    slurm, start = cluster
    killed = start()
    wait_for(lambda: len(slurm.jobs()) == 1 and slurm.calls("squeue") >= 2)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    done = slurm.execute("1")
    assert done.returncode == 0, done.stderr
    assert start("--unlock").wait(60) == 0
    assert "Nothing to be done" in output(start())
    assert len(slurm.jobs()) == 1


def test_a_run_that_lives_keeps_its_jobs(cluster, clone):
    slurm, start = cluster
    first = start()
    wait_for(lambda: len(slurm.jobs()) == 1)
    # For another file, so that Snakemake's own lock lets both run.
    second = start(target="results/small/sources/sums.parquet", SCALEBIO_SLURM_ORPHANS="cancel")
    wait_for(lambda: len(slurm.jobs()) == 2)
    assert slurm.calls("scancel") == 0
    assert len(list((clone.path / ".snakemake" / "slurm_runs").iterdir())) == 2
    for run in (first, second):
        run.send_signal(signal.SIGINT)
    assert "earlier run" not in output(first) + output(second)
    assert not list((clone.path / ".snakemake" / "slurm_runs").iterdir())


def test_a_dry_run_and_a_local_run_ask_nothing(cluster):
    slurm, start = cluster
    assert start("-n").wait(60) == 0
    run = start("--executor", "local", "--cores", "1")
    said = output(run)
    assert run.returncode == 0, said
    assert slurm.calls("squeue") == slurm.calls("sbatch") == 0


def test_a_wrong_number_of_minutes_is_refused_before_anything_is_submitted(cluster):
    slurm, start = cluster
    run = start(SCALEBIO_SLURM_WATCHDOG_MINUTES="soon")
    said = output(run)
    assert run.returncode == 1 and "SCALEBIO_SLURM_WATCHDOG_MINUTES=soon: expected minutes" in said
    assert slurm.jobs() == []
