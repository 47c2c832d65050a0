"""Watching a run: what is read from Snakemake's own log and from the jobs' logs, and what is shown of it."""

import io
import os
import re
import shutil
import subprocess
import sys
import time

import pytest
from rich.console import Console

from scalebio import watch_view, watching
from scalebio.errors import UserError
from scalebio.progress import Progress

# Cut from logs of Snakemake 9.27.1 with the SLURM executor 2.8.0.
LOG = """
SNAKEMAKE
=========
  Working directory: /study
  Config file(s): [PosixPath('/study/config/mine.yaml')]

Building DAG of jobs...
Job stats:
job              count
-------------  -------
learn_weights        3
figure_a             1
figure_b             1
all                  1
total                6

Select jobs to execute...
[Tue Nov 24 03:00:00 2026]
rule learn_weights:
    input: results/mine/a, results/mine/b
    output: results/mine/one/weights.json
    log: logs/mine/one.log
    jobid: 7
    wildcards: experiment=mine, model=tiny, method=scalebio, seed=0
    resources: mem_mb=2000
Job 7 has been submitted with SLURM jobid 3 (log: /study/logs/slurm/3.log).
[Tue Nov 24 03:01:40 2026]
Finished jobid: 7 (Rule: learn_weights)
1 of 6 steps (17%) done
[Tue Nov 24 03:01:40 2026]
rule learn_weights:
    log: logs/mine/two.log
    jobid: 8
    wildcards: experiment=mine, model=tiny, method=scalebio, seed=1
[Tue Nov 24 03:02:00 2026]
Error in rule learn_weights:
    message: None
    jobid: 8
    log: logs/mine/two.log (check log file(s) for error details)
"""
AGAIN = """Trying to restart job 8.
[Tue Nov 24 03:02:00 2026]
rule learn_weights:
    log: logs/mine/two.log
    jobid: 8
    wildcards: experiment=mine, model=tiny, method=scalebio, seed=1
Job 8 has been submitted with SLURM jobid 4 (log: /study/logs/slurm/4.log).
"""
END = "Exiting because a job execution failed. Look above for error messages\nComplete log(s): /study/log\n"


def logged(folder, text):
    path = folder / watching.LOGS / "2026-11-24T030000.000000.snakemake.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def shown(run, folder, now):
    console = Console(file=io.StringIO(), width=160)
    console.print(watch_view.view(run, folder, now))
    return console.file.getvalue()


def test_a_run_is_read_from_its_log(tmp_path):
    run = watching.read(logged(tmp_path, LOG))
    assert run.planned == {"learn_weights": 3, "figure_a": 1, "figure_b": 1, "all": 1}
    assert (run.finished, run.total, run.outcome) == (1, 6, None)
    first, second = run.jobs[7], run.jobs[8]
    assert (first.state, first.ended - first.started, first.slurm) == (watching.DONE, 100, "3")
    assert (second.state, second.wildcards, second.log) == (
        watching.FAILED,
        "mine/tiny/scalebio/1",
        "logs/mine/two.log",
    )
    assert watching.mean_seconds(run) == {"learn_weights": 100}


def test_a_job_that_is_tried_again_runs_and_a_run_that_gave_up_says_so(tmp_path):
    run = watching.read(logged(tmp_path, LOG + AGAIN))
    assert not run.failed() and [(job.number, job.slurm) for job in run.running()] == [(8, "4")]
    assert "in the queue, or just begun" in shown(run, tmp_path, run.last)
    run = watching.read(logged(tmp_path, LOG + END))
    text = shown(run, tmp_path, run.last)
    assert run.outcome == watching.FAILED and "stopped, because a job failed" in text
    assert re.search(r"learn_weights mine/tiny/scalebio/1 +logs/mine/two.log", text)


def test_time_left_is_what_lines_and_means_say_over_how_many_run_side_by_side(tmp_path):
    run = watching.read(logged(tmp_path, LOG + AGAIN))
    now = run.last + 10
    line = watching.Live("", 1, 4, 30.0)
    # 130 s of jobs in 130 s: one at a time. Left: 30 s of the line, and one job that has not begun, 100 s in the mean.
    assert watching.time_left(run, now, {8: line}) == (130, ["figures"])
    # Without a line the rest of the mean.
    assert watching.time_left(run, now, {8: None}) == (190, ["figures"])
    # Another job as long as all: 240 s of jobs in 130 s, so 130 s take less; but never less than the longest one does.
    run.jobs[9] = watching.Job(9, "figure_a", started=run.first, state=watching.DONE, ended=run.first + 130)
    run.jobs[10] = watching.Job(10, "figure_b", started=run.first, state=watching.DONE, ended=run.first)
    seconds, unknown = watching.time_left(run, now, {8: line})
    assert (seconds, unknown) == (pytest.approx(130 * 130 / 240), [])
    assert watching.time_left(run, now, {8: watching.Live("", 1, 4, 900.0)})[0] == 900


@pytest.mark.parametrize("tokens", [0, 50])
def test_the_line_that_progress_writes_is_understood(tmp_path, tokens):
    with open(tmp_path / "job.log", "w", encoding="utf-8") as log:
        progress = Progress("weights mine/scalebio/seed0", seconds=0, stream=log)
        progress.seen -= 20
        progress(1, 40, "gap +0.1", tokens)
        progress(10, 40, "gap +0.2  forum 0.7  manuals 0.3", tokens)
    job = watching.Job(1, "learn_weights", log="job.log", started=time.time())
    line = watching.live(job, tmp_path)
    assert (line.done, line.total) == (10, 40) and 59 <= line.left <= 61
    assert line.text.endswith("gap +0.2  forum 0.7  manuals 0.3") and ("tokens/s" in line.text) == bool(tokens)


def test_other_lines_stand_as_they_are_and_old_logs_are_not_taken_for_this_attempt(tmp_path):
    (tmp_path / "job.log").write_text("first\nloading [red]the model[/red]\n\n")
    job = watching.Job(1, "finetune", log="job.log", started=time.time())
    assert watching.live(job, tmp_path) == watching.Live("loading [red]the model[/red]")
    run = watching.Run(tmp_path / "job.log", jobs={1: job}, planned={"finetune": 1}, total=1, first=job.started)
    assert "loading [red]the model[/red]" in shown(run, tmp_path, time.time())
    os.utime(tmp_path / "job.log", (job.started - 60,) * 2)
    assert watching.live(job, tmp_path) is None


def test_a_silent_run_is_doubted(tmp_path):
    path = logged(tmp_path, LOG + AGAIN)
    run, now = watching.read(path), time.time()
    assert "still there" not in shown(run, tmp_path, now)
    assert "Nothing was written for 5 min" in shown(run, tmp_path, now + 301)


# As Snakemake ends a run at Ctrl-C: its jobs failed, and nothing says why.
INTERRUPTED = "Complete log(s): /study/log\nElapsed time: 0:02:00\nWorkflowError:\nAt least one job did not complete successfully.\n"


def test_a_run_that_ended_before_its_end_is_not_done(tmp_path):
    run = watching.read(logged(tmp_path, LOG + INTERRUPTED))
    assert run.outcome == watching.STOPPED
    text = shown(run, tmp_path, run.last)
    assert "1 of 6 jobs" in text and "; stopped before its end" in text and "done" not in text.splitlines()[0]
    run = watching.read(logged(tmp_path, LOG.replace("1 of 6 steps", "6 of 6 steps") + "Complete log(s): /study/log\n"))
    assert run.outcome == watching.DONE


def test_a_run_with_nothing_to_do_has_ended(tmp_path):
    start, _, _ = LOG.partition("Job stats:")
    run = watching.read(
        logged(tmp_path, start + "Nothing to be done (all requested files are present and up to date).")
    )
    assert run.outcome == watching.DONE and "mine.yaml: nothing to be done" in shown(run, tmp_path, time.time())


def test_a_run_that_was_locked_out_does_not_hide_the_one_under_way(tmp_path):
    path = logged(tmp_path, LOG)
    locked = path.with_name(path.name.replace("T03", "T04"))
    locked.write_text("Building DAG of jobs...\nLockException:\nError: Directory cannot be locked. Please make sure\n")
    assert watching.newest(tmp_path, None, 0.0).path == path


def test_a_run_under_way_goes_before_what_ended_later(tmp_path):
    """An audit beside a run leaves a newer log, as does a study that cannot be planned."""
    path = logged(tmp_path, LOG)
    ended, unplanned = (path.with_name(path.name.replace("T03", hour)) for hour in ("T04", "T05"))
    ended.write_text(LOG + END, encoding="utf-8")
    unplanned.write_text("Building DAG of jobs...\n", encoding="utf-8")
    now = path.stat().st_mtime
    assert watching.newest(tmp_path, None, now).path == path
    assert watching.newest(tmp_path, None, now + watching.SILENT + 60).path == unplanned, "killed long ago"


def test_what_a_failed_job_said_last_is_shown(tmp_path):
    run = watching.read(logged(tmp_path, LOG + END))
    (job,) = run.failed()
    said = tmp_path / job.log
    said.parent.mkdir(parents=True)
    said.write_text("loading\nerror: source `forum`:\n  no rows [red]in it[/red].\n", encoding="utf-8")
    expected = "error: source `forum`: no rows [red]in it[/red]. (logs/mine/two.log)"
    assert watching.last_words(job, tmp_path) == expected
    assert expected.split(" (")[0] in " ".join(shown(run, tmp_path, run.last).split())
    said.write_text("Traceback\n  somewhere\nValueError: three\n", encoding="utf-8")
    assert watching.last_words(job, tmp_path) == "ValueError: three (logs/mine/two.log)"
    said.unlink()
    assert watching.last_words(job, tmp_path) == "logs/mine/two.log"


def test_time_left_is_not_told_while_most_of_the_work_is_unknown(tmp_path):
    run = watching.read(logged(tmp_path, LOG + AGAIN))
    assert "more than" in shown(run, tmp_path, run.last)  # two figures of five jobs
    run.planned["figure_a"], run.total = 9, 14
    assert "time left not known yet (none has ended yet of figures)" in shown(run, tmp_path, run.last)


def test_where_nothing_ran_it_says_so(tmp_path):
    with pytest.raises(UserError, match="no run of Snakemake has left a log"):
        watching.newest(tmp_path, None, 0.0)
    logged(tmp_path, LOG)
    assert watching.newest(tmp_path, "mine", 0.0) == watching.newest(tmp_path, None, 0.0)
    with pytest.raises(UserError, match="no run of study `other`"):
        watching.newest(tmp_path, "other", 0.0)
    (tmp_path / "overlay.yaml").write_text("run: [a]\n")
    with pytest.raises(UserError, match="no key `study`"):
        watching.study_of([str(tmp_path / "overlay.yaml")])


@pytest.mark.slow
def test_a_study_half_done_and_done_is_shown(root, finished, tmp_path):
    """The real log of the small study, cut off while weights were learned, and whole."""
    whole = sorted((finished.path / watching.LOGS).glob("*.log"))[0].read_text(encoding="utf-8")
    block = re.search(
        r"\n(?:local)?rule learn_weights:\n(?:    .*\n)*?    wildcards: .*method=scalebio.*\n(?:    .*\n)*", whole
    )
    logged(tmp_path, whole[: block.end()])
    shutil.copytree(finished.path / "config", tmp_path / "config")
    log = tmp_path / "logs/small/learn_weights/sums/tiny/scalebio/seed0.log"
    log.parent.mkdir(parents=True)
    log.write_text(
        "weights sums/scalebio/seed0: 40/160, 12 s, 36 s left, 90 tokens/s  L1 2.000  sums 0.813  dates 0.101\n"
    )

    def look():
        command = [sys.executable, str(root / "scripts/watch.py"), "--once", "--configfile", "config/small.yaml"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    text = look()
    assert re.search(r"learn_weights sums/tiny/scalebio/0 .* 40/160 +36 s .*sums 0.813  dates 0.101", text), text
    assert re.search(r"small.yaml: \d+ of \d+ jobs, .*; (more than .* left|time left not known yet) \(", text)
    logged(tmp_path, whole)
    text = look()
    total = re.search(r"^total +(\d+)$", whole, re.MULTILINE)[1]
    assert f"small.yaml: {total} of {total} jobs" in text and "; done" in text and "Running" not in text
    assert re.search(r"learn_weights .* 2/2 ", text)
