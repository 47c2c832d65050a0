"""SLURM's queue as `squeue` tells it: which jobs are there, in which state, and from which run of Snakemake they come."""

import re
import subprocess
from dataclasses import dataclass

# One line a job. The comment comes last, because nothing else may hold the separator.
FORMAT = "%i|%j|%T|%Z|%k"
# States that a job does not leave again (`man squeue`, JOB STATE CODES). Any other counts as alive, those of later
# versions too: taking a live job for a dead one is the worse mistake.
ENDED = frozenset(
    "BOOT_FAIL CANCELLED COMPLETED DEADLINE FAILED LAUNCH_FAILED NODE_FAIL OUT_OF_MEMORY PREEMPTED RECONFIG_FAIL REVOKED "
    "TIMEOUT".split()
)
# The executor names each job after its run: a prefix, if the profile has one, and a UUID.
_RUN = re.compile(
    r"(?:(?P<prefix>[A-Za-z0-9_-]{1,50})_)?[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
)


class NoAnswer(Exception):
    """`squeue` or `scancel` failed, or did not answer in time: nothing is known about the queue."""


@dataclass(frozen=True)
class QueuedJob:
    """One job of the queue: its number, the run that submitted it (the job's name), state, work folder and comment."""

    number: str
    run: str
    state: str
    folder: str
    comment: str

    @property
    def alive(self) -> bool:
        """Whether the job waits, runs, or may yet do so."""
        return self.state not in ENDED

    @property
    def rule(self) -> str:
        """The rule's name, from the comment that the executor writes: `rule_<name>_wildcards_<values>`."""
        return re.sub(r"^(rule|group)_", "", self.comment).partition("_wildcards_")[0]

    @property
    def wildcards(self) -> str:
        """The values of the rule's wildcards, joined by `_`; empty where it has none."""
        return self.comment.partition("_wildcards_")[2]


def parse(text: str) -> list[QueuedJob]:
    """The jobs in what `squeue --noheader` prints in this module's FORMAT."""
    return [QueuedJob(*(part.strip() for part in line.split("|", 4))) for line in text.splitlines() if line.strip()]


def is_run(name: str, prefix: str | None) -> bool:
    """Whether a job's name is one that the executor gives to its jobs under this prefix."""
    found = _RUN.fullmatch(name)
    return bool(found) and found["prefix"] == (prefix or None)


def jobs_of_run(run: str) -> list[QueuedJob]:
    """The jobs of one run that `squeue` still knows, in any state. Raises NoAnswer."""
    return parse(_call("squeue", "--noheader", f"--format={FORMAT}", "--states=all", f"--name={run}"))


def my_jobs() -> list[QueuedJob]:
    """This user's jobs that have not ended. Raises NoAnswer."""
    return [job for job in parse(_call("squeue", "--noheader", f"--format={FORMAT}", "--me")) if job.alive]


def cancel(numbers: list[str]) -> None:
    """`scancel` the jobs of these numbers; one that has ended meanwhile is no fault. Raises NoAnswer."""
    _call("scancel", *numbers)


def _call(*command: str) -> str:
    # A controller that is away makes the clients wait for some seconds before they fail.
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoAnswer(f"{command[0]}: {error}") from error
    if done.returncode != 0:
        raise NoAnswer(f"{command[0]} ended with status {done.returncode}: {done.stderr.strip()}")
    return done.stdout
