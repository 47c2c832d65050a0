"""A run of Snakemake on the terminal: how far it is, jobs by rule, and what each running job says of itself."""

import re
import time
from collections import Counter
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from scalebio import watching
from scalebio.watching import DONE, FAILED, RUNNING, STOPPED, Job, Live, Run

# Running jobs shown one by one.
MOST_JOBS = 12
BAR = 20
MOST_NAMES = 4


def duration(seconds: float) -> str:
    """Seconds in words: 7 s, 3 min 20 s, 2 h 5 min."""
    seconds = int(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def view(run: Run, folder: Path, now: float) -> RenderableType:
    """All of it, `now` in seconds since the epoch; text from logs is shown as it is."""
    lines = {job.number: watching.live(job, folder) for job in run.running()}
    parts = [_headline(run, now, lines, folder)]
    if run.outcome is None and run.running():
        parts.append(_running(run, now, lines))
    if failed := run.failed():
        parts.append(_failed(failed, folder))
    # Last, because a small terminal cuts off the end.
    return Group(*parts, _rules(run))


def _headline(run: Run, now: float, lines: dict[int, Live | None], folder: Path) -> Text:
    files = re.findall(r"'([^']+)'", run.header.get("Config file(s)", ""))
    what = " ".join(Path(file).name for file in files) or "Snakemake"
    if run.outcome == DONE and not run.total:
        return Text(f"{what}: nothing to be done", style="green")
    end = run.last if run.outcome else now
    text = Text(f"{what}: {run.finished} of {run.total} jobs, {duration(end - run.first) if run.first else '0 s'}")
    if run.outcome == DONE:
        return text.append("; done", style="green")
    if run.outcome == FAILED:
        return text.append("; stopped, because a job failed", style="red")
    if run.outcome == STOPPED:
        return text.append("; stopped before its end", style="yellow")
    seconds, unknown = watching.time_left(run, now, lines)
    if unknown:
        shown = ", ".join(unknown) if len(unknown) <= MOST_NAMES else f"{len(unknown)} kinds of jobs"
        planned = watching.planned_families(run)
        # Where little of the work has a known pace, a lower bound says nothing.
        known = 2 * sum(planned[name] for name in unknown) <= run.total - run.finished
        left = f"more than {duration(seconds)} left" if known else "time left not known yet"
        text.append(f"; {left} (none has ended yet of {shown})")
    elif run.total:
        text.append(f"; about {duration(seconds)} left")
    heard = watching.last_heard(run, folder)
    if now - heard > watching.SILENT:
        text.append(f"\nNothing was written for {duration(now - heard)}: is it still there?", style="yellow")
    return text


def _rules(run: Run) -> Table:
    """Jobs by rule, those of a family together."""
    means, states = watching.mean_seconds(run), {}
    for job in run.jobs.values():
        states.setdefault(watching.family(job.rule), Counter())[job.state] += 1
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title, justify in (("rule", "left"), ("", "left"), ("done", "right"), ("running", "right"), ("a job", "right")):
        table.add_column(title, justify=justify)
    for name, count in watching.planned_families(run).items():
        state = states.get(name, Counter())
        running = str(state[RUNNING] or "") if run.outcome is None else ""
        bar = ProgressBar(count, state[DONE], BAR)
        mean = duration(means[name]) if name in means else ""
        table.add_row(Text(name), bar, f"{state[DONE]}/{count}", running, mean)
    return table


def _running(run: Run, now: float, lines: dict[int, Live | None]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), title="Running", title_justify="left")
    for title, justify in (("job", "left"), ("for", "right"), ("step", "right"), ("left", "right"), ("", "left")):
        table.add_column(title, justify=justify, no_wrap=title != "")
    jobs = run.running()
    for job in jobs[:MOST_JOBS]:
        line = lines.get(job.number)
        name = Text(f"{job.rule} {job.wildcards}".rstrip() + (f" (SLURM {job.slurm})" if job.slurm else ""))
        if line is None:
            says = "in the queue, or just begun" if job.slurm else ""
            table.add_row(name, duration(now - job.started), "", "", Text(says))
            continue
        step = f"{line.done}/{line.total}" if line.total else ""
        left = duration(line.left) if line.left is not None else ""
        table.add_row(name, duration(now - job.started), step, left, Text(line.text))
    if len(jobs) > MOST_JOBS:
        table.add_row(Text(f"and {len(jobs) - MOST_JOBS} more"), "", "", "", "")
    return table


def _failed(jobs: list[Job], folder: Path) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), title="Failed", title_justify="left")
    table.add_column("job", no_wrap=True)
    table.add_column("what it said", overflow="fold")
    for job in jobs:
        table.add_row(Text(f"{job.rule} {job.wildcards}".rstrip()), Text(watching.last_words(job, folder)))
    return table


def watch(find, folder: Path, every: float, once: bool, console: Console) -> None:
    """Show the run that `find()` gives until it ends, drawn anew `every` so many seconds; or `once` as it is now."""
    from rich.live import Live as LiveDisplay

    if once:
        console.print(view(find(), folder, time.time()))
        return
    with LiveDisplay(console=console, auto_refresh=False, vertical_overflow="crop") as display:
        while True:
            run = find()
            display.update(view(run, folder, time.time()), refresh=True)
            if run.outcome is not None:
                return
            time.sleep(every)
