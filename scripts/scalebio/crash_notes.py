"""What a training job died of, left beside its checkpoints, so that a retry does not queue for GPUs to die of it again.

Snakemake's `retries` are for what another attempt may be spared: a lost node, a time limit, too little memory, a full disk.
A fault in the data, the settings or the code comes back every time. A job that ends by such a one leaves
`<checkpoints>.failed.json`; a later attempt of the same run of Snakemake that finds it ends within seconds. A first attempt
removes it: somebody has looked, and asks again.
"""

import os
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from scalebio.errors import Retryable, Stopped, UserError
from scalebio.files import read_json, write_json

# gloo and NCCL say in plain RuntimeErrors that another process or its node has gone; a broken GPU says ECC.
_ELSEWHERE = re.compile(r"gloo|nccl|connection (reset|closed|refused)|uncorrectable ecc", re.IGNORECASE)


def path(checkpoints: str | Path) -> Path:
    """Where the note of the job with these checkpoints is."""
    checkpoints = Path(checkpoints)
    return checkpoints.with_name(f"{checkpoints.name}.failed.json")


def would_come_back(error: BaseException) -> bool:
    """Whether the same job would die of it again.

    Not so: requests to stop, `Retryable` errors, OSErrors (disk, network; a missing file may be a file system that lags), too little
    memory, and what a process says whose partner has gone.
    """
    if not isinstance(error, Exception) or isinstance(error, (Stopped, Retryable, OSError, MemoryError)):
        return False
    distributed = getattr(sys.modules.get("torch.distributed"), "DistError", ())
    return not isinstance(error, distributed) and not (
        isinstance(error, RuntimeError) and _ELSEWHERE.search(str(error))
    )


@contextmanager
def kept(checkpoints: str | Path, attempt: int) -> Iterator[None]:
    """Leave a note if the block ends by an error that would come back; it is raised on.

    Raises UserError at once if this is not the first attempt and an earlier one has left a note.
    """
    note = path(checkpoints)
    if attempt == 1:
        note.unlink(missing_ok=True)
    elif note.exists():
        raise UserError(_refusal(note))
    try:
        yield
    except Exception as error:
        # The first of several processes to fail tells; the others may fail because of it. And the error itself matters more.
        if would_come_back(error) and not note.exists():
            with suppress(OSError, Retryable):
                write_json(note, _facts(error, attempt))
        raise


def _facts(error: Exception, attempt: int) -> dict:
    text = str(error)
    return {
        "error": text if isinstance(error, UserError) else f"{type(error).__name__}: {text}",
        "attempt": attempt,
        "job": os.environ.get("SLURM_JOB_ID"),
        "host": socket.gethostname(),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _refusal(note: Path) -> str:
    facts = read_json(note)
    job = f", SLURM job {facts['job']}" if facts["job"] else ""
    return (
        f"Attempt {facts['attempt']} of this job (on {facts['host']}{job}, {facts['when']}) died of an error that would come "
        f"back, so it is not tried again:\n{facts['error']}\nMend that and start Snakemake again; the note {note} is removed then."
    )
