"""Jobs and runs that are killed in the middle: nothing half-written, and the next run goes on as if nothing had been."""

import os
import re
import signal
import subprocess
import time

import psutil
import pytest
from clones import ENVIRONMENT, SCALEBIO, Clone

pytestmark = pytest.mark.slow

WEIGHTS = f"{SCALEBIO}/weights.json"
LOG = "logs/small/learn_weights/sums/tiny/scalebio/seed0.log"


@pytest.fixture
def started(finished_copy):
    """A run that learns weights for ever; yields (the copy, Snakemake's process) once the loop is under way."""
    original = (finished_copy.path / "config/small.yaml").read_text(encoding="utf-8")
    finished_copy.edit_study(lambda study: study["methods"]["scalebio"].update(steps=10**7))
    (finished_copy.path / LOG).unlink()
    with open(finished_copy.path / "console.txt", "w") as console:
        # A session of its own, so that a signal to its process group is what Ctrl-C in a terminal is.
        process = subprocess.Popen(
            finished_copy.command(WEIGHTS),
            cwd=finished_copy.path,
            env=ENVIRONMENT,
            stdout=console,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 180
        while not re.search(r"seed0: \d+/10000000", log(finished_copy)):
            assert process.poll() is None and time.monotonic() < deadline, console_of(finished_copy)
            time.sleep(0.2)
        yield finished_copy, process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        (finished_copy.path / "config/small.yaml").write_text(original, encoding="utf-8")


def log(clone: Clone) -> str:
    path = clone.path / LOG
    return path.read_text(encoding="utf-8") if path.exists() else ""


def console_of(clone: Clone) -> str:
    return (clone.path / "console.txt").read_text(encoding="utf-8")


def job_of(snakemake: subprocess.Popen) -> psutil.Process:
    """The entry point that Snakemake has started."""
    children = psutil.Process(snakemake.pid).children(recursive=True)
    (job,) = [
        child
        for child in children
        if "learn_weights.py" in " ".join(child.cmdline()[:2]) and "python" in child.cmdline()[0]
    ]
    return job


def nothing_half_written(clone: Clone) -> None:
    run = clone.path / SCALEBIO
    names = {path.name for path in run.iterdir()}
    assert not names & {"weights.json", "trajectory.parquet", "row_scores.parquet"} and not [
        name for name in names if ".part" in name
    ]


def goes_on(clone: Clone, finished: Clone) -> None:
    """The next run ends as one that was never stopped, down to the bit."""
    clone.edit_study(lambda study: study["methods"]["scalebio"].update(steps=3))
    clone.run(WEIGHTS, "--rerun-incomplete")
    assert (clone.path / WEIGHTS).read_bytes() == (finished.path / WEIGHTS).read_bytes()
    # The trajectory holds measured seconds, so what is drawn from it is due again; nothing that costs time is.
    assert all(rule.startswith(("table_", "figure_")) or rule in ("claims", "report") for rule, _ in clone.planned())


def test_a_killed_job_fails_its_run_and_the_next_run_goes_on(started, finished):
    clone, process = started
    job_of(process).kill()
    assert process.wait(120) != 0
    assert "Error in rule learn_weights" in console_of(clone) and LOG in console_of(clone)
    nothing_half_written(clone)
    goes_on(clone, finished)


def test_a_run_killed_with_all_its_jobs_says_how_to_unlock_and_goes_on(started, finished):
    clone, process = started
    job = job_of(process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(120)
    psutil.wait_procs([job], timeout=30)
    nothing_half_written(clone)
    refused = clone.snakemake(WEIGHTS)
    assert refused.returncode != 0 and "--unlock" in refused.stdout
    clone.run("--unlock")
    goes_on(clone, finished)


def test_ctrl_c_stops_everything_cleanly_and_the_next_run_goes_on(started, finished):
    clone, process = started
    job = job_of(process)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(120) != 0
    assert not job.is_running()
    assert "stopped before the end; the next run starts this job again" in log(clone)
    assert "Traceback" not in log(clone)
    nothing_half_written(clone)
    goes_on(clone, finished)
