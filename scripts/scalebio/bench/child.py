"""One measurement in a process of its own, so that neither memory nor imports of another one count in it."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from scalebio.errors import UserError


def run_child(entry: str | Path, *arguments: object, what: str, launcher: Sequence[str] = (sys.executable,)) -> dict:
    """What the script `entry` prints as JSON in its last line when called with `--child` and `arguments`; one thread.

    `launcher` starts it, where python alone does not.
    Raises UserError, naming `what` was measured, with the child's last words if it fails.
    """
    command = [*launcher, str(entry), "--child", *map(str, arguments)]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    done = subprocess.run(command, env=os.environ | threads, capture_output=True, text=True)
    if done.returncode:
        raise UserError(
            f"bench: {what} ended with code {done.returncode} (−9: out of memory). Its last words:\n{done.stderr[-2000:]}"
        )
    return json.loads(done.stdout.splitlines()[-1])
