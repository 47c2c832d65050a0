"""What every entry point shares: arguments with a JSON settings slice, one writer, clean errors, quiet libraries."""

import argparse
import errno
import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from scalebio import crash_notes
from scalebio.errors import Stopped, UserError
from scalebio.writing_lock import WritingLock

# What a job that was asked to stop, and can go on, exits with (EX_TEMPFAIL of sysexits.h).
STOPPED = 75
# Keys of `hardware` that a training job compares with what it finds; `launching.sharing_flags` gives them.
EXPECTED = {"nodes": int, "processes": int, "gpus": int, "memory_gb": float}
# What `run` puts in order when the job ends, however it ends: locks, and crash notes while the locks are still held.
_at_end = ExitStack()

# Set before torch or transformers is imported by an entry point's own imports inside `main`.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


def settings(text: str) -> dict:
    """Parse the JSON given to `--settings`, the slice of the study's config that one job depends on."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"not valid JSON: {error}") from error


def parser(description: str | None) -> argparse.ArgumentParser:
    """An argument parser with the `--settings` option that rules pass the config slice through."""
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--settings", type=settings, default={}, metavar="JSON", help="the config slice of this job")
    return result


def training_parser(description: str | None) -> argparse.ArgumentParser:
    """The same for jobs that train: how they share the work and keep checkpoints. None of it changes what comes out."""
    result = parser(description)
    result.add_argument(
        "--shard", action="store_true", help="split the models over the processes (FSDP2), not a copy in each"
    )
    result.add_argument("--offload", action="store_true", help="with --shard: parameters rest in the CPU's memory")
    result.add_argument("--recompute", action="store_true", help="compute activations again in the backward pass")
    result.add_argument(
        "--micro-batch", type=int, metavar="N", help="examples per forward pass and process; left out: all"
    )
    result.add_argument(
        "--checkpoints", metavar="FOLDER", help="keep checkpoints there; the next run goes on from them"
    )
    result.add_argument("--checkpoint-seconds", type=float, default=300.0, metavar="S", help="at most one in so long")
    for name, kind in EXPECTED.items():
        help = f"stop at once unless there are so many `hardware.{name}`"
        result.add_argument(f"--expect-{name.replace('_', '-')}", type=kind, metavar="N", help=help)
    result.add_argument(
        "--minutes", type=float, metavar="M", help="time limit of the job; it stops with a checkpoint shortly before"
    )
    result.add_argument("--attempt", type=int, default=1, metavar="N", help="2 or more: a retry, see crash_notes.py")
    return result


def gpu_parser(description: str | None) -> argparse.ArgumentParser:
    """The same as `parser` for jobs of one process that may run on a GPU."""
    result = parser(description)
    result.add_argument("--expect-gpus", type=int, metavar="N", help="stop at once unless there are so many GPUs")
    return result


def expected(arguments: argparse.Namespace) -> dict:
    """What the job was told to expect, as keys of `hardware`; empty if nothing."""
    given = {name: getattr(arguments, f"expect_{name}", None) for name in EXPECTED}
    return {name: value for name, value in given.items() if value}


def first_process() -> bool:
    """Whether this is the process, of one or many, that reports and writes results."""
    return os.environ.get("RANK", "0") == "0"


def claim(*paths: str | Path | None) -> None:
    """Be the only job that writes these files or folders, until `run` ends; to be called before anything heavy is loaded.

    Raises `writing_lock.Held` if another job writes one of them. Of several processes the first does so for all: if it fails,
    their launcher ends the others.
    """
    if first_process():
        for path in filter(None, paths):
            _at_end.enter_context(WritingLock(path))


def claim_training(arguments: argparse.Namespace, *paths: str | Path) -> None:
    """The same for a job with the arguments of `training_parser`, its checkpoints included, and its crash note.

    Raises UserError besides if an earlier attempt died of what would come back.
    """
    claim(*paths, arguments.checkpoints)
    if arguments.checkpoints:
        _at_end.enter_context(crash_notes.kept(arguments.checkpoints, arguments.attempt))


def _leave_the_others() -> None:
    """End the connections of a job of several processes while all are well; left to the interpreter, it can crash in doing so."""
    distributed = sys.modules.get("torch.distributed")
    if distributed and distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def run(main: Callable[[], None]) -> None:
    """Call `main`; a UserError becomes one clear message and exit status 2, and SIGTERM unwinds like Ctrl-C.

    A job that has checkpoints handles SIGTERM itself, raises Stopped, and exits with status 75. A full disk, or any
    other file that cannot be written, is a clear message too.
    """

    def stop(signum, frame):
        raise KeyboardInterrupt(f"signal {signum}")

    signal.signal(signal.SIGTERM, stop)
    try:
        with _at_end:
            main()
            _leave_the_others()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        sys.exit(STOPPED)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        place = f" while writing {error.filename}" if error.filename else ""
        print(
            f"error: {error.strerror}{place}. No result was written or changed. Free some space and run again.",
            file=sys.stderr,
        )
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped before the end; the next run starts this job again", file=sys.stderr)
        sys.exit(130)
