"""Long jobs that survive being killed: checkpoints from which a run goes on to the same bits as if nothing had happened.

A checkpoint is a folder `step-<n>` with the tensors (safetensors; one file per process where models are sharded) and
`facts.json`: plain values, and the identity of the run (settings, hashes of data and code, number of processes). It is
written under another name and renamed when complete; the newest two are kept; one of another identity is refused.
"""

import json
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from scalebio.errors import Stopped, UserError
from scalebio.parallel import Parallel

KEPT = 2
# Writing may take one twentieth of the time.
SHARE_OF_TIME = 0.05


class Job(Protocol):
    """What can be run with checkpoints: steps, and a state of tensors and plain facts."""

    done: int
    steps: int

    def step(self) -> object: ...
    def state(self) -> tuple[dict[str, torch.Tensor], dict]: ...
    def load(self, tensors: dict[str, torch.Tensor], facts: dict) -> None: ...


class Checkpoints:
    """The checkpoints of one run in `folder`; None keeps none. At most one in `seconds`, and less often if they are slow."""

    def __init__(self, folder: Path | None, identity: dict, parallel: Parallel, seconds: float = 300.0):
        self.folder, self.parallel, self.seconds = folder and Path(folder), parallel, seconds
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

    def save(self, job: Job) -> Path | None:
        """Write one now; returns its folder. Raises UserError, naming the step, if it cannot be written."""
        if not self.folder:
            return None
        try:
            return self._write(job)
        except (SafetensorError, OSError) as error:
            raise UserError(
                f"step {job.done}: the checkpoint in {self.folder} could not be written: {error}. No result was written "
                "or changed. Free some space and run again; it goes on from the checkpoint before, if there is one."
            ) from error

    def _write(self, job: Job) -> Path:
        start = time.monotonic()
        tensors, facts = job.state()
        final = self.folder / f"step-{job.done:07d}"
        part = self.folder / f".step-{job.done:07d}.part"
        first = self.parallel.rank == 0
        if first:
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
        self.parallel.wait()
        if first or self.parallel.shard:
            held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
            save_file(held, part / f"process{self.parallel.rank}.safetensors")
        self.parallel.wait()
        if first:
            (part / "facts.json").write_text(json.dumps({"identity": self.identity, "job": facts}, allow_nan=False))
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
            shutil.rmtree(self.folder, ignore_errors=True)

    def _found(self) -> list[Path]:
        return sorted(self.folder.glob("step-*")) if self.folder and self.folder.is_dir() else []


def run(job: Job, checkpoints: Checkpoints, on_step: Callable[[object], None] = lambda seen: None) -> None:
    """Run `job` to its end, from its newest checkpoint if there is one.

    At SIGTERM, which is what SLURM sends before it kills, it writes a checkpoint after the step in progress and raises
    Stopped.
    """
    checkpoints.restore(job)
    with _stop_requests() as asked:
        while job.done < job.steps:
            on_step(job.step())
            if checkpoints.parallel.any(asked()):
                kept = checkpoints.save(job) if job.done < job.steps else None
                raise Stopped(
                    f"stopped by a signal after step {job.done} of {job.steps}; "
                    + (f"the next run goes on from {kept}" if kept else "the next run starts this job again")
                )
            if job.done < job.steps and checkpoints.due():
                checkpoints.save(job)


@contextmanager
def _stop_requests():
    """Yield a function that says whether SIGTERM has come; a second one is not held back."""
    asked = []

    def note(signum, frame):
        asked.append(signum)
        signal.signal(signal.SIGTERM, before)

    try:
        before = signal.signal(signal.SIGTERM, note)
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
