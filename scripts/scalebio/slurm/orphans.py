"""Jobs that a run of Snakemake left in SLURM's queue when it was killed, found when the next run starts in its folder.

They go on: Snakemake that was killed (SIGKILL, a login node that went down) cancels nothing. A new run would submit the
same work again beside them. So it stops and names them, or cancels them where it was told to.
"""

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from scalebio.errors import UserError
from scalebio.slurm.queue import NoAnswer, QueuedJob, cancel, is_run, my_jobs

# What to do with orphans: `stop` (default) or `cancel`.
VARIABLE = "SCALEBIO_SLURM_ORPHANS"
# How long (s) a controller that is away, or a job that was cancelled, is waited for.
PATIENCE = 300


def find(jobs: Iterable[QueuedJob], folder: str, prefix: str | None, lives: Callable[[str], bool]) -> list[QueuedJob]:
    """Of the jobs in the queue those that Snakemake submitted from this folder, in a run that `lives` no more.

    Only jobs that carry the executor's form of name with our prefix, its form of comment and this work folder are ours.
    """
    here = os.path.realpath(folder)
    ours = [
        job
        for job in jobs
        if is_run(job.run, prefix)
        and job.comment.startswith(("rule_", "group_"))
        and os.path.realpath(job.folder) == here
    ]
    dead = {run for run in sorted({job.run for job in ours}) if not lives(run)}
    return [job for job in ours if job.run in dead]


def table(orphans: list[QueuedJob]) -> str:
    """The orphans as lines of text: number, state, rule and values of its wildcards."""
    rows = [("job", "state", "rule", "wildcards"), *((o.number, o.state, o.rule, o.wildcards) for o in orphans)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def settle(
    folder: str,
    prefix: str | None,
    lives: Callable[[str], bool],
    say: Callable[[str], None],
    patience: float = PATIENCE,
    pause: float = 5,
) -> None:
    """Return when no orphan is in the queue; cancel them first where the environment says so.

    Raises UserError if there are some and it does not say so, if it says something else, if they cannot be cancelled,
    or if the queue cannot be seen.
    """
    wanted = os.environ.get(VARIABLE) or "stop"
    if wanted not in ("stop", "cancel"):
        raise UserError(f"{VARIABLE}={wanted}: expected `stop` (the default) or `cancel`.")
    orphans = find(_answer(my_jobs, say, patience, pause), folder, prefix, lives)
    if not orphans:
        return
    numbers = [job.number for job in orphans]
    if wanted == "stop":
        raise UserError(
            "an earlier run of Snakemake in this folder, which is no more, left jobs in SLURM's queue. They would write "
            f"beside those of this run, so nothing was submitted:\n{table(orphans)}\n"
            "Either wait until they have ended (`squeue --me`) and run the same command again: what they finish counts.\n"
            f"Or cancel them and run again:\n  scancel {' '.join(numbers)}\n"
            f"Or let the run do so: put {VARIABLE}=cancel before the same command. Trainings go on from their checkpoints."
        )
    say(f"Cancelling the jobs that an earlier run left in the queue:\n{table(orphans)}")
    _answer(lambda: cancel(numbers), say, patience, pause)
    end = time.monotonic() + patience
    while left := [job for job in _answer(my_jobs, say, patience, pause) if job.number in numbers]:
        if time.monotonic() > end:
            raise UserError(
                f"these jobs of an earlier run were cancelled {patience:.0f} seconds ago and are still there:\n"
                f"{table(left)}\nLook at them with `scontrol show job`, and run the same command again when they are gone."
            )
        time.sleep(pause)
    say("They are gone.")


def _answer(ask: Callable, say: Callable[[str], None], patience: float, pause: float):
    """What `ask` returns, tried again while SLURM does not answer."""
    end, told = time.monotonic() + patience, False
    while True:
        try:
            return ask()
        except NoAnswer as fault:
            if time.monotonic() > end:
                raise UserError(
                    f"SLURM has not answered for {patience:.0f} seconds, so jobs of an earlier run could be there unseen: "
                    f"{fault}. Run the same command again when `squeue` works."
                ) from fault
            if not told:
                say(f"SLURM does not answer ({fault}); trying for up to {patience:.0f} seconds.")
                told = True
            time.sleep(pause)


def runs_folder(folder: str) -> Path:
    """Where the runs of a folder have their entries."""
    return Path(folder) / ".snakemake" / "slurm_runs"
