"""Debian's packages for tests with real parts, installed where they are missing, without starting what they bring along."""

import contextlib
import fcntl
import os
import shutil
import subprocess
from pathlib import Path

POLICY = Path("/usr/sbin/policy-rc.d")


def missing(wanted: dict[str, str]) -> list[str]:
    """Packages that are to be installed; `wanted` maps each command that must be there to the package that has it."""
    # Not every user's PATH has the folders where daemons are.
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    return sorted({package for command, package in wanted.items() if not shutil.which(command, path=path)})


def obstacle(wanted: dict[str, str]) -> str | None:
    """Why the wanted commands cannot be had here, after trying to install what is missing; None if they can."""
    if not missing(wanted):
        return None
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        lacking = ", ".join(missing(wanted))
        return f"{lacking}: not installed, and installing Debian's packages takes apt-get and root"
    with _alone(), _nothing_starts():
        if packages := missing(wanted):
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
