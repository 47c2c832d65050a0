"""Ends a run that waits for jobs which are no longer in SLURM's queue.

The executor (2.8.0) can lose a job for ever: when the controller is away at every try of one poll, when a job has left
`squeue` before the next poll, when a state is not in its list. Snakemake then waits without a word. So a thread beside
it asks `squeue` every minute, and stops the run once none of the jobs it waits for has been there for some minutes.
"""

import threading
import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field

from scalebio.errors import UserError
from scalebio.slurm.queue import NoAnswer, QueuedJob

# Minutes out of the queue until a run is ended; 0 switches the watchdog off.
VARIABLE = "SCALEBIO_SLURM_WATCHDOG_MINUTES"
# Above the executor's longest time between two polls (3 minutes) and the wait for late files (1 minute) after it.
MINUTES = 15.0


def minutes(environment: dict) -> float:
    """The limit that the environment sets. Raises UserError if it is no number of minutes."""
    text = environment.get(VARIABLE) or str(MINUTES)
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise UserError(f"{VARIABLE}={text}: expected minutes, such as 15, or 0 for no watchdog.")
    return value


@dataclass(frozen=True)
class Waited:
    """A job that Snakemake waits for. `key` tells attempts apart; `number` is SLURM's, None before sbatch has answered."""

    key: Hashable
    number: str | None
    name: str = field(compare=False)
    logs: tuple[str, ...] = field(compare=False, default=())


class Absences:
    """For how long each job has been known to be out of the queue.

    Time counts between two answers of `squeue` only, so an outage adds nothing; and a step counts for `longest` seconds
    at most, so neither does a machine that slept.
    """

    def __init__(self, longest: float):
        self._longest = longest
        self._last: float | None = None
        self._seconds: dict[Waited, float] = {}

    def answered(self, waited: Iterable[Waited], live: set[str], now: float) -> dict[Waited, float]:
        """Seconds of absence of each job that is waited for and not among the live ones; 0 at first sight."""
        step = 0.0 if self._last is None else min(now - self._last, self._longest)
        self._last = now
        self._seconds = {
            job: self._seconds[job] + step if job in self._seconds else 0.0 for job in waited if job.number not in live
        }
        return self._seconds

    def unanswered(self) -> None:
        """`squeue` failed: nothing is known of the time since its last answer, nor until its next."""
        self._last = None


def describe(jobs: Iterable[Waited], states: dict[str, str]) -> str:
    """The jobs as lines of text: name, SLURM's number, what `squeue` says of it, logs."""
    lines = []
    for job in jobs:
        if job.number is None:
            fate = "sbatch has not answered"
        else:
            fate = f"SLURM job {job.number}, " + (
                f"ended as {states[job.number]}" if job.number in states else "unknown to squeue"
            )
        lines += [f"  {job.name}: {fate}", *(f"    {log}" for log in job.logs)]
    return "\n".join(lines)


def verdict(lost: list[Waited], states: dict[str, str], limit: float) -> str:
    """The message that ends a run, `limit` in seconds."""
    numbers = [job.number for job in lost if job.number]
    asked = f" `sacct -j {','.join(numbers)}` may tell how they ended." if numbers else ""
    return (
        f"Snakemake waits for jobs that have not been in SLURM's queue for {limit / 60:g} minutes, so it would wait for "
        f"ever. This run ends; nothing was cancelled.\n{describe(lost, states)}\n"
        f"Look at their logs, and at `squeue --me` for jobs that are still there.{asked} Then run the same command again: "
        "finished results stay, these jobs are done again, and trainings go on from their checkpoints. "
        f"({VARIABLE} sets the minutes, 0 switches this off.)"
    )


class Watchdog:
    """The thread. It knows Snakemake by four functions only, so that it is tested without one."""

    def __init__(
        self,
        waited: Callable[[], list[Waited]],
        queue: Callable[[], list[QueuedJob]],
        busy_here: Callable[[], bool],
        warn: Callable[[str], None],
        end: Callable[[str], None],
        limit: float,
        alive: Callable[[], None] = lambda: None,
    ):
        """`waited`: the jobs Snakemake waits for; `queue`: those of this run, or NoAnswer; `busy_here`: whether local
        jobs run, which the end would tear; `limit` in seconds, 0 for never; `alive` is called every time."""
        self._waited, self._queue, self._busy_here = waited, queue, busy_here
        self._warn, self._end, self._limit, self._alive = warn, end, limit, alive
        self.interval = min(60.0, limit / 4) if limit else 60.0
        self._absences = Absences(2 * self.interval)
        self._warned: set[Waited] = set()

    def look(self, now: float) -> bool:
        """One look at the queue; whether it ended the run."""
        self._alive()
        waited = self._waited()
        if not self._limit or not waited:
            return False
        try:
            jobs = self._queue()
        except NoAnswer:
            self._absences.unanswered()
            return False
        states = {job.number: job.state for job in jobs}
        absent = self._absences.answered(waited, {job.number for job in jobs if job.alive}, now)
        lost = [job for job, seconds in absent.items() if seconds >= self._limit]
        if lost and len(lost) == len(waited) and not self._busy_here():
            self._end(verdict(lost, states, self._limit))
            return True
        if new := [job for job in lost if job not in self._warned]:
            self._warned.update(new)
            self._warn(
                f"These jobs have not been in SLURM's queue for {self._limit / 60:g} minutes, and Snakemake has not "
                f"noticed. The run goes on with its other jobs and ends after them:\n{describe(new, states)}"
            )
        return False

    def start(self) -> None:
        """Look again and again beside the main thread, which it never keeps from ending."""
        threading.Thread(target=self._run, name="slurm-watchdog", daemon=True).start()

    def _run(self) -> None:
        ended = False
        while not ended:
            time.sleep(self.interval)
            ended = self.look(time.monotonic())
