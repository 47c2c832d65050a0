"""Where a cluster's processes live: Linux namespaces that take everything with them when they end, or the bare machine.

A `Room` is a set of namespaces held open by one process that waits for the end of a pipe. The pipe's other end is held
by the process that made the room, so that the room ends with it, whatever ends it. When the first process of a process
namespace ends, the kernel kills all others of it, and with the last one go its network and its mounts.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import psutil

# Variables of a SLURM job or of Snakemake around the tests would be taken for ours.
FOREIGN = ("SLURM_", "SLURMD_", "SRUN_", "SBATCH_", "SNAKEMAKE_")


def environment(**changes: str | None) -> dict[str, str]:
    """This process's variables without those of an outer SLURM or Snakemake; a change to None removes a variable."""
    variables = {key: value for key, value in os.environ.items() if not key.startswith(FOREIGN)}
    # SLURM's daemons lie where only root's PATH leads.
    variables["PATH"] = os.pathsep.join([variables.get("PATH", ""), "/usr/sbin", "/sbin"])
    variables |= changes
    return {key: value for key, value in variables.items() if value is not None}


def wait_until(condition, seconds: float, what: str, pause: float = 0.05):
    """The first true value of `condition()`. Raises TimeoutError naming `what` after `seconds` of wall time."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(pause)
    return value


def only_child(process: subprocess.Popen) -> int | None:
    """The process id, as seen from outside, of what `nsenter` or `unshare` has forked; None before or after its life."""
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    except FileNotFoundError:
        return None
    return int(children[0]) if children else None


def send(pids: Iterable[int], number: int) -> None:
    """Send a signal to each process that is still there."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


class Started:
    """A command under way inside a cluster; signals go to the command itself, not to what brought it in."""

    def __init__(self, process: subprocess.Popen, forked: bool):
        self.process, self.forked = process, forked

    @property
    def pid(self) -> int:
        """The command's process id as seen from outside. Raises ProcessLookupError once it has ended."""
        if not self.forked and self.process.poll() is None:
            return self.process.pid
        deadline = time.monotonic() + 10
        while self.process.poll() is None and time.monotonic() < deadline:
            if child := only_child(self.process):
                return child
            time.sleep(0.01)
        raise ProcessLookupError(f"{self.process.args} has ended with {self.process.poll()}")

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def signal(self, number: int) -> None:
        """Send a signal to the command alone; nothing if it has ended."""
        try:
            send([self.pid], number)
        except ProcessLookupError:
            return
        if number == signal.SIGCONT:  # nsenter stops itself when its child is stopped
            send([self.process.pid], number)

    def wait(self, seconds: float) -> int:
        """Its exit status. Raises subprocess.TimeoutExpired if it runs on."""
        return self.process.wait(seconds)

    def stop(self, seconds: float = 10) -> None:
        """SIGTERM, and SIGKILL to its whole process group if that was not enough."""
        self.signal(signal.SIGTERM)
        try:
            self.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """SIGKILL to its whole process group; what made itself a group of its own runs on."""
        if self.running:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)


class Room:
    """Namespaces of their own: processes started in it see each other, the usual files, and the room's own mounts."""

    isolated = True

    def __init__(self, flags: Sequence[str], setup: str, within: "Room | None" = None):
        """`flags` are those of unshare(1); `setup` is a shell script that runs first, in the new room."""
        # Children that lose their parent become children of the process that holds the room; it wants none of them.
        hold = f"set -e\n{setup}\necho ready\nexec env --ignore-signal=CHLD cat"
        command = ["unshare", *flags, "sh", "-c", hold]
        self.holder = subprocess.Popen(
            within.enter(command) if within else command,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        if self.holder.stdout.readline() != "ready\n":
            raise OSError(f"no namespaces ({' '.join(flags)}): {self.holder.communicate()[1].strip()}")
        self.pid = only_child(self.holder)
        self.root = Path(f"/proc/{self.pid}/root")

    def enter(self, command: Sequence[str], cwd: str | Path = "/") -> list[str]:
        """The words that run a command in this room."""
        return ["nsenter", f"--target={self.pid}", "--all", "env", f"--chdir={cwd}", *command]

    def processes(self) -> list[int]:
        """Every process in this room's namespaces of host name and processes, as seen from outside."""
        found = []
        for pid in psutil.pids():
            try:
                if all(
                    os.path.samefile(f"/proc/{pid}/ns/{kind}", f"/proc/{self.pid}/ns/{kind}") for kind in ("uts", "pid")
                ):
                    found.append(pid)
            except OSError:  # has ended meanwhile
                pass
        return found

    def kill_processes(self) -> None:
        """SIGKILL to all that run in this room, again and again for what was forked meanwhile."""

        def none_left() -> bool:
            send(pids := self.processes(), signal.SIGKILL)
            return not pids

        wait_until(none_left, 30, "the end of all processes of a node")

    def close(self) -> None:
        """End the room. With a process namespace of its own, the kernel ends everything in it."""
        try:
            self.holder.stdin.close()
        except BrokenPipeError:
            pass
        self.holder.wait(30)
        self.holder.stdout.close()
        self.holder.stderr.close()


class Bare:
    """The machine itself, or a node on it, where namespaces are refused; same use as `Room`."""

    isolated = False
    root = Path("/")

    def __init__(self, log: Path | None = None):
        """`log` is a file that a node's daemon and the keepers of its jobs hold open, and nobody else does."""
        self.log, self.pid = str(log), os.getpid()

    def enter(self, command: Sequence[str], cwd: str | Path = "/") -> list[str]:
        """The words that run a command: it dies with us, as far as that can be had without namespaces."""
        return ["setpriv", "--pdeathsig=KILL", "env", f"--chdir={cwd}", *command]

    def processes(self) -> list[int]:
        """The processes that hold the log open and all their children."""
        found = set()
        for process in psutil.process_iter():
            try:
                if any(file.path == self.log for file in process.open_files()):
                    found |= {process.pid, *(child.pid for child in process.children(recursive=True))}
            except psutil.Error:  # has ended meanwhile
                pass
        return sorted(found)

    def kill_processes(self) -> None:
        """SIGKILL to all of them; stopped first, since a child whose parents have died would not be found again."""
        stopped = set()
        while new := set(self.processes()) - stopped:
            send(new, signal.SIGSTOP)
            stopped |= new
        send(stopped, signal.SIGKILL)
        wait_until(lambda: not self.processes(), 30, "the end of all processes of a node")

    def close(self) -> None:
        pass


def namespaces_refused() -> str | None:
    """Why `Room`s cannot be had here; None if they can."""
    try:
        tried = subprocess.run(
            ["unshare", "--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--mount-proc", "ip", "link"],
            capture_output=True,
            text=True,
            timeout=30,
        )
    except OSError as error:
        return str(error)
    return None if tried.returncode == 0 else tried.stderr.strip() or f"unshare ends with {tried.returncode}"


def free_ports(count: int) -> int:
    """The first of `count` successive TCP ports of 127.0.0.1 that nobody uses now."""
    for first in range(26_000, 32_000, count):
        try:
            for port in range(first, first + count):
                with socket.socket() as tried:
                    tried.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise OSError("no free TCP ports between 26000 and 32000")
