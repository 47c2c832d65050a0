"""SLURM and MariaDB from Debian's packages, installed where they are missing, without starting what they bring along."""

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

# What must be there, and the package that has it.
CLUSTER = {
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "sbatch": "slurm-client",
    "munged": "munge",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "mount": "mount",
    "hostname": "hostname",
}
DATABASE = {"slurmdbd": "slurmdbd", "mariadbd": "mariadb-server"}
POLICY = Path("/usr/sbin/policy-rc.d")


def missing(database: bool) -> list[str]:
    """Packages that are to be installed."""
    # Not every user's PATH has the folders where daemons are.
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    wanted = CLUSTER | (DATABASE if database else {})
    return sorted({package for command, package in wanted.items() if not shutil.which(command, path=path)})


def obstacle(database: bool = False) -> str | None:
    """Why no cluster can be had here, after trying to install what is missing; None if one can."""
    if not sys.platform.startswith("linux"):
        return "SLURM's daemons run on Linux only"
    if os.geteuid() != 0:
        return "a SLURM cluster of one's own takes root, for its namespaces and host names"
    if not missing(database):
        return None
    if not shutil.which("apt-get"):
        return f"{', '.join(missing(database))}: not installed, and there is no apt-get to install Debian's packages"
    with _alone(), _nothing_starts():
        if packages := missing(database):
            return _install(packages)
    return None


def _install(packages: list[str]) -> str | None:
    quiet = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    for command in (
        ["apt-get", "update"],
        ["apt-get", "install", "--yes", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300", *packages],
    ):
        try:
            done = subprocess.run(command, env=os.environ | quiet, capture_output=True, text=True, timeout=600)
        except subprocess.TimeoutExpired:
            return f"`{' '.join(command)}` took longer than ten minutes"
        if done.returncode:
            return f"`{' '.join(command)}` failed: {' '.join(done.stderr.split())[-300:]}"
    return None


@contextlib.contextmanager
def _alone():
    """One at a time on this machine: two workers of pytest-xdist come here at once."""
    folder = os.open("/var/lib/dpkg", os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


@contextlib.contextmanager
def _nothing_starts():
    """Debian's packages start their daemons unless this file forbids it; removed again if it was not there before."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()
