"""Long jobs that survive being killed: checkpoints from which a run goes on to the same bits as if nothing had happened.

A checkpoint is a folder `step-<n>` with the tensors (safetensors; one file per process where models are sharded) and
`facts.json`: plain values, and the identity of the run (settings, hashes of data and code, number of processes). It is
written under another name and renamed when complete; the newest two are kept; one of another identity is refused. Nothing
is written or removed by a job that has lost the lock on what it writes (`writing_lock`).
"""

import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from scalebio import processes, writing_lock
from scalebio.errors import Retryable, Stopped, UserError
from scalebio.parallel import Parallel

KEPT = 2
# Writing may take one twentieth of the time.
SHARE_OF_TIME = 0.05
# What is kept back of a job's time to write the last one: so many times what the one before took, and at least so many
# seconds, but no larger share of the whole.
RESERVE_TIMES, RESERVE_SECONDS, RESERVE_SHARE = 3, 60.0, 0.2


class Job(Protocol):
    """What can be run with checkpoints: steps, and a state of tensors and plain facts."""

    done: int
    steps: int

    def step(self) -> object: ...
    def state(self) -> tuple[dict[str, torch.Tensor], dict]: ...
    def load(self, tensors: dict[str, torch.Tensor], facts: dict) -> None: ...


class Checkpoints:
    """The checkpoints of one run in `folder`; None keeps none. At most one in `seconds`, and less often if they are slow.

    `minutes`: what the job may take, counted from the start of the first process; None for as long as it likes.
    """

    def __init__(
        self,
        folder: Path | None,
        identity: dict,
        parallel: Parallel,
        seconds: float = 300.0,
        minutes: float | None = None,
    ):
        self.folder, self.parallel, self.seconds = folder and Path(folder), parallel, seconds
        self.minutes = minutes if folder else None
        self.identity = json.loads(json.dumps(identity)) | {"processes": parallel.world, "sharded": parallel.shard}
        self.last, self.cost = time.monotonic(), 0.0

    def restore(self, job: Job) -> int:
        """Bring `job` to the newest checkpoint; returns its step, 0 if there is none. Raises UserError if it is another run's."""
        found = self._found()
        if not found:
            return 0
        facts = json.loads((found[-1] / "facts.json").read_text())
        if differing := list(_differences(facts["identity"], self.identity)):
            raise UserError(
                f"The checkpoint {found[-1]} was made by another run: {'; '.join(differing[:5])}. Put that back to go on "
                f"from it, or remove {self.folder} to begin again."
            )
        rank = self.parallel.rank if self.parallel.shard else 0
        job.load(load_file(found[-1] / f"process{rank}.safetensors"), facts["job"])
        return job.done

    def due(self) -> bool:
        """Whether it is time for one, by the first process's clock."""
        waited = time.monotonic() - self.last
        return self.parallel.any(
            bool(self.folder) and self.parallel.rank == 0 and waited >= max(self.seconds, self.cost / SHARE_OF_TIME)
        )

    def late(self, step_seconds: float) -> bool:
        """Whether a step of so many seconds and a checkpoint no longer fit, by the first process's clock."""
        if self.minutes is None:
            return False
        limit = 60 * self.minutes
        reserve = min(max(RESERVE_TIMES * self.cost, RESERVE_SECONDS), RESERVE_SHARE * limit)
        return self.parallel.any(self.parallel.rank == 0 and processes.age() + step_seconds > limit - reserve)

    def save(self, job: Job) -> Path | None:
        """Write one now; returns its folder. Raises UserError, naming the step, if it cannot be written, and `Lost`."""
        if not self.folder:
            return None
        try:
            return self._write(job)
        except (SafetensorError, OSError) as error:
            raise Retryable(
                f"step {job.done}: the checkpoint in {self.folder} could not be written: {error}. No result was written "
                "or changed. Free some space and run again; it goes on from the checkpoint before, if there is one."
            ) from error

    def _write(self, job: Job) -> Path:
        start = time.monotonic()
        tensors, facts = job.state()
        final = self.folder / f"step-{job.done:07d}"
        # A name of this run's own: a frozen one that wakes must not write into what its successor is writing.
        part = self.folder / self.parallel.told(f".step-{job.done:07d}.{socket.gethostname()}.{os.getpid()}.part")
        first = self.parallel.rank == 0
        if first:
            writing_lock.check()
            for left_over in self.folder.glob(".step-*.part"):
                shutil.rmtree(left_over, ignore_errors=True)
            part.mkdir(parents=True)
        self.parallel.wait()
        if first or self.parallel.shard:
            held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
            save_file(held, part / f"process{self.parallel.rank}.safetensors")
        self.parallel.wait()
        if first:
            (part / "facts.json").write_text(json.dumps({"identity": self.identity, "job": facts}, allow_nan=False))
            writing_lock.check()
            if final.exists():
                shutil.rmtree(final)
            part.rename(final)
            for old in self._found()[:-KEPT]:
                shutil.rmtree(old)
        self.parallel.wait()
        self.last = time.monotonic()
        self.cost = self.last - start
        return final

    def remove(self) -> None:
        """Remove them all: the run has its result. The first process does so; the others need not wait for it."""
        if self.folder and self.parallel.rank == 0:
            writing_lock.check()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _found(self) -> list[Path]:
        return sorted(self.folder.glob("step-*")) if self.folder and self.folder.is_dir() else []


def run(job: Job, checkpoints: Checkpoints, on_step: Callable[[object], None] = lambda seen: None) -> None:
    """Run `job` to its end, from its newest checkpoint if there is one.

    It writes a checkpoint after the step in progress and raises Stopped at SIGTERM, which is what SLURM sends before it
    kills, and when its `minutes` are nearly over. Raises UserError if they are so before the first step.
    """
    checkpoints.restore(job)
    began, slowest = job.done, 0.0
    with _stop_requests() as asked:
        while job.done < job.steps:
            if checkpoints.late(slowest):
                raise _out_of_time(job, checkpoints, began)
            start = time.monotonic()
            on_step(job.step())
            slowest = max(slowest, time.monotonic() - start)
            if checkpoints.parallel.any(asked()):
                raise _stop(job, checkpoints, "by a signal")
            if job.done < job.steps and checkpoints.due():
                checkpoints.save(job)


def _stop(job: Job, checkpoints: Checkpoints, why: str) -> Stopped:
    kept = checkpoints.save(job) if job.done < job.steps else None
    return Stopped(
        f"stopped {why} after step {job.done} of {job.steps}; "
        + (f"the next run goes on from {kept}" if kept else "the next run starts this job again")
    )


def _out_of_time(job: Job, checkpoints: Checkpoints, began: int) -> Exception:
    if job.done > began:
        return _stop(job, checkpoints, f"because its {checkpoints.minutes:g} minutes (`runtime`) are nearly over")
    return Retryable(
        f"The job's {checkpoints.minutes:g} minutes (`runtime`) were over, but for the time a checkpoint takes, before its "
        f"first step: starting took {processes.age():.0f} s. It would never get anywhere. Give its rule more `runtime`."
    )


@contextmanager
def _stop_requests():
    """Yield a function that says whether SIGTERM has come.

    All are held back, not only the first: SLURM signals every process of a job, and the launcher of several passes it on.
    """
    asked = []
    try:
        before = signal.signal(signal.SIGTERM, lambda signum, frame: asked.append(signum))
    except ValueError:  # not the main thread: whoever runs us there deals with signals
        yield lambda: False
        return
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGTERM, before)


def _differences(old: object, new: object, path: str = ""):
    """One line for each value that differs, with its dotted path."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif old != new:
        yield f"`{path}` was {_short(old)} and is {_short(new)}"


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."
