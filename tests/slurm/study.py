"""Snakemake as a user of the cluster runs it: on the login node, in a clone of the repository, with a time limit."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from clones import EAGER
from cluster import Cluster
from rooms import Started

# As in tests/workflow/clones.py, and what a site tells the profile.
SITE = {
    "OMP_NUM_THREADS": "1",
    # The rules' commands find python and snakemake through PATH, on the nodes too.
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "SCALEBIO_SLURM_ACCOUNT": "root",
    "SCALEBIO_SLURM_PARTITION": "gpu",
}
# Snakemake's plugin waits 40 s before it first asks how a job fares.
SOON = ("--slurm-init-seconds-before-status-checks", "1")


class Workplace(Cluster):
    """A cluster with Snakemake on its login node."""

    def start_snakemake(self, clone, *arguments: str, eager: bool = True, **variables: str | None) -> Started:
        """Start Snakemake in `clone` (a folder, or what tests/workflow/clones.py makes) and return at once.

        What it writes goes to `console.txt` in there. `eager`: ask every two seconds how jobs fare. `variables` are added
        to those of `SITE`; None removes one.
        """
        folder = Path(getattr(clone, "path", clone))
        with open(folder / "console.txt", "w") as console:
            return self.popen(
                [sys.executable, *((EAGER,) if eager else ("-m", "snakemake")), *arguments, *SOON],
                cwd=folder,
                variables=SITE | variables,
                stdout=console,
                stderr=subprocess.STDOUT,
            )

    def finish_snakemake(self, started: Started, clone, seconds: float) -> subprocess.CompletedProcess:
        """Wait for it; `stdout` has both streams, as a user sees them.

        As by `timeout -s INT -k 30`: after `seconds` it gets Ctrl-C, 30 s later SIGKILL, and the status is 124; then
        `stdout` ends with the queue and the last lines of SLURM's logs.
        """
        more = ""
        try:
            status = started.wait(seconds)
        except subprocess.TimeoutExpired:
            status = 124
            queue = "\n".join(map(str, self.jobs()))
            more = f"\nstopped by the test after {seconds:g} s; the queue then:\n{queue}\n{self.log_tails()}"
            started.signal(signal.SIGINT)
            try:
                started.wait(30)
            except subprocess.TimeoutExpired:
                started.kill()
        console = Path(getattr(clone, "path", clone)) / "console.txt"
        text = console.read_text(encoding="utf-8", errors="replace") + more
        return subprocess.CompletedProcess(started.process.args, status, text, None)

    def snakemake(
        self, clone, *arguments: str, limit: float = 300, eager: bool = True, **variables: str | None
    ) -> subprocess.CompletedProcess:
        """Run Snakemake to its end: `cluster.snakemake(clone, "--profile", "slurm", "--configfile", study)`."""
        started = self.start_snakemake(clone, *arguments, eager=eager, **variables)
        return self.finish_snakemake(started, clone, limit)
