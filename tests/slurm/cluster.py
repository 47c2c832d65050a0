"""A real SLURM cluster on one machine, for as long as a test needs it: controller, compute nodes, on demand a database.

The nodes pose as machines with 8 GPUs (links to /dev/null, which SLURM counts and hands out like GPUs). The cluster lives
in namespaces of its own (`rooms`), its files in a file system in memory mounted over /etc/slurm in there: after its end,
however that comes, nothing is left but its logs. Where namespaces are refused it runs on the bare machine (`plain`):
all nodes with the machine's host name, links in /etc/slurm until it is stopped, one at a time: a second one of the same
process ends the first, one of another process waits.
"""

import fcntl
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from shutil import rmtree

import cluster_config
import squeue
from cluster_config import ACCOUNTING, CONTROLLER, CPUS, DATABASE, GPUS, MEMORY_MB, node_name
from rooms import Bare, Room, Started, environment, free_ports, namespaces_refused, wait_until
from squeue import Job

ETC = Path("/etc/slurm")


class Cluster:
    """`with Cluster(folder) as cluster: cluster.run("srun hostname")`. Times are seconds of wall time."""

    gpus, cpus, memory_mb = GPUS, CPUS, MEMORY_MB  # of each node, as SLURM believes
    _plain: "Cluster | None" = None  # the one on the bare machine

    def __init__(
        self,
        folder: Path,
        nodes: int = 2,
        database: bool = False,
        plain: bool | None = None,
        settings: dict | None = None,
    ):
        """`folder` gets the logs and is where commands run; `plain` None: only where namespaces are refused;
        `settings` replace or add lines of slurm.conf."""
        self.folder, self.logs, self.work = folder, folder / "logs", folder / "work"
        self.nodes = [node_name(i) for i in range(1, nodes + 1)]
        self.database, self.settings = database, settings or {}
        self.plain = bool(namespaces_refused()) if plain is None else plain
        self._rooms: dict[str, Room | Bare] = {}
        self._daemons: dict[str, Started] = {}
        self._commands: list[Started] = []
        self._last_forgotten = 0  # number of the last job of earlier tests
        self._home: Path | None = None  # the cluster's files as its processes see them; `_files`: as we do
        self._lock: int | None = None

    def __enter__(self) -> "Cluster":
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    # ---- the whole ----

    def start(self) -> None:
        """Start everything and wait until all nodes are idle. Raises TimeoutError or OSError with the logs' last lines."""
        try:
            for folder in (self.logs, self.work):
                folder.mkdir(parents=True, exist_ok=True)
            self._move_in()
            self._configure()
            self.start_daemon("munged")
            wait_until((self._files / "munge.socket").exists, 10, "munged's socket")
            if self.database:
                self.start_database()
            self.start_controller()
            for i in range(1, len(self.nodes) + 1):
                self.start_node(i, wait=False)
            self.wait_idle(30)
        except BaseException as error:
            error.add_note(self.log_tails())
            self.stop()
            raise

    def stop(self) -> None:
        """End everything; does nothing twice."""
        for command in self._commands:
            command.kill()
        if not self.plain:
            for daemon in self._daemons.values():
                daemon.kill()
        elif self._home:
            if CONTROLLER in self._daemons:
                subprocess.run(self._login.enter(["timeout", "10", "scancel", "--user=root"]), capture_output=True)
            for i in range(1, len(self.nodes) + 1):
                self.kill_node(i)
            for daemon in reversed(self._daemons.values()):
                daemon.stop()
            for link in ETC.iterdir():
                if link.is_symlink() and link.readlink().is_relative_to(self._home):
                    link.unlink()
            rmtree(self._home, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = Cluster._plain = None
        for room in self._rooms.values():  # the login node first: with it the kernel ends all others
            room.close()
        for started in (*self._daemons.values(), *self._commands):
            started.process.wait(30)
        self._rooms, self._daemons, self._commands, self._last_forgotten, self._home = {}, {}, [], 0, None

    def restore(self) -> None:
        """Make it as good as new after a test: no commands, no jobs, everything up; a new cluster if it must be."""
        if not self._rooms:
            self.start()
        for command in self._commands:
            command.kill()
        self._commands = []
        try:
            if self.database:
                self.start_database()
            self.start_controller()
            for i, name in enumerate(self.nodes, start=1):
                self.start_node(i, wait=False)
                if self.node_states().get(name, "").strip("*") not in ("idle", "mixed", "allocated"):
                    self.run(f"scontrol update nodename={name} state=resume", check=False)
            self.run("scancel --user=root")
            self.wait_for_jobs(30)
            self.wait_idle(30)
            self._last_forgotten = max((job.id for job in self.jobs()), default=self._last_forgotten)
        except (TimeoutError, OSError, AssertionError):
            self.stop()
            self.start()

    # ---- its parts ----

    def start_controller(self) -> None:
        self.start_daemon(CONTROLLER)
        wait_until(lambda: self.listening(self._port), 30, "the controller's port")

    def stop_controller(self) -> None:
        """Only slurmctld; jobs run on."""
        self.stop_daemon(CONTROLLER)

    def restart_controller(self) -> None:
        self.stop_controller()
        self.start_controller()

    def start_database(self) -> None:
        """MariaDB and slurmdbd. Before the controller: without them it finds no resources to count and ends."""
        data, server = self._home / "db", self._home / "db" / "socket"
        client = [f"--socket={server}", "--user=root"]
        if not (self._files / "db").exists():
            self.run(f"install -d -o mysql {data}")
            options = "--user=mysql --auth-root-authentication-method=socket --skip-test-db"
            self.run(f"mariadb-install-db --no-defaults --datadir={data} {options}")
        self.start_daemon(DATABASE)
        ping = ["mariadb-admin", "--no-defaults", *client, "ping"]
        wait_until(lambda: self.run(ping, check=False).returncode == 0, 60, "MariaDB", pause=0.1)
        sql = (
            "create database if not exists slurm_acct; grant all on slurm_acct.* to slurm@localhost "
            "identified by 'throwaway'"
        )
        self.run(["mariadb", "--no-defaults", *client, "--execute", sql])
        self.start_daemon(ACCOUNTING)
        wait_until(lambda: self.listening(self._port + 1), 60, "slurmdbd's port")

    def stop_database(self) -> None:
        """slurmdbd and MariaDB."""
        self.stop_daemon(ACCOUNTING)
        self.stop_daemon(DATABASE)

    def start_node(self, number: int, wait: bool = True) -> None:
        """Node 1, 2, ...: back to work after `kill_node` (as after a reboot) or `kill_daemon` (its jobs live)."""
        name = node_name(number)
        if name not in self._rooms:
            if self.plain:
                self._rooms[name] = Bare(self.logs / f"slurmd.{name}.log")
            else:
                self._rooms[name] = Room(["--uts", "--mount"], f"hostname {name}", within=self._login)
        self.start_daemon(name)
        if wait:
            wait_until(lambda: self.node_states()[name] in ("idle", "mixed", "allocated"), 60, f"{name} at work")

    def kill_node(self, number: int) -> None:
        """The power fails: SIGKILL to every process of the node. SLURM calls it DOWN some 20 seconds later."""
        name = node_name(number)
        if room := self._rooms.pop(name, None):
            room.kill_processes()
            room.close()
        if daemon := self._daemons.pop(name, None):
            daemon.wait(10)

    def kill_daemon(self, number: int) -> None:
        """SIGKILL to the node's slurmd alone: SLURM believes the node lost while its jobs run on."""
        daemon = self._daemons.pop(node_name(number))
        daemon.signal(signal.SIGKILL)
        daemon.wait(10)

    def start_daemon(self, name: str) -> None:
        """Start one of munged, mariadbd, slurmdbd, slurmctld, node1, ... unless it runs; does not wait for its service."""
        if name in self._daemons and self._daemons[name].running:
            return
        command, variables = cluster_config.daemon(name, self._home)
        with open(self.logs / f"{name}.out", "a") as log:
            room = self._rooms.get(name, self._login)
            self._daemons[name] = self._popen(room, command, variables, stdout=log, stderr=log)

    def stop_daemon(self, name: str) -> None:
        """SIGTERM to one of munged, mariadbd, slurmdbd, slurmctld, node1, ..., and SIGKILL if that is not enough."""
        self._daemons.pop(name).stop()

    # ---- use ----

    def popen(
        self, command: str | Sequence[str], node: int | None = None, cwd=None, variables: dict | None = None, **options
    ) -> Started:
        """Start a command (text: by bash) on the login node or on a node; `options` are subprocess.Popen's."""
        room = self._login if node is None else self._rooms[node_name(node)]
        words = ["bash", "-c", command] if isinstance(command, str) else list(command)
        started = self._popen(room, words, variables or {}, cwd=cwd, **options)
        self._commands = [one for one in self._commands if one.running] + [started]
        return started

    def run(
        self,
        command: str | Sequence[str],
        timeout: float = 60,
        *,
        check: bool = True,
        node: int | None = None,
        cwd: Path | None = None,
        **variables: str | None,
    ) -> subprocess.CompletedProcess:
        """Run a command (text: by bash) to its end; stdout and stderr as text.

        Raises TimeoutError if it takes longer than `timeout`, AssertionError if it fails and `check`; both say what it
        wrote and what is in the queue.
        """
        started = self.popen(
            command, node, cwd, variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
        )
        try:
            stdout, stderr = started.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired as expired:
            started.kill()
            written = b"".join(filter(None, (expired.stdout, expired.stderr))).decode(errors="replace")
            raise TimeoutError(f"{command} took longer than {timeout:g} s\n{written}\n{self.log_tails()}") from None
        done = subprocess.CompletedProcess(command, started.process.returncode, stdout, stderr)
        assert not check or done.returncode == 0, f"{command} ended with {done.returncode}\n{stdout}{stderr}"
        return done

    def output(self, command: str | Sequence[str], timeout: float = 60, **options) -> str:
        """What a command that must succeed writes to stdout, without the last line break."""
        return self.run(command, timeout, **options).stdout.rstrip("\n")

    def submit(self, script: str, *flags: str, **options) -> int:
        """sbatch a bash script; the job's number. Raises AssertionError with SLURM's words if it is refused."""
        return int(self.output(["sbatch", "--parsable", *flags, "--wrap", script], **options))

    def jobs(self) -> list[Job]:
        """What squeue knows, finished jobs of the last half hour too, in order of submission; not those of earlier
        tests."""
        shown = self.output(["squeue", "--noheader", "--states=all", f"--Format={squeue.FIELDS}"])
        return [job for job in squeue.parse(shown) if job.id > self._last_forgotten]

    def job(self, number: int) -> Job:
        """One job. Raises KeyError where SLURM does not know it."""
        return {job.id: job for job in self.jobs()}[number]

    def wait_for_job(self, number: int, *states: str, seconds: float = 60) -> Job:
        """Wait until a job is in one of `states`, or has ended if none is named."""
        try:
            return wait_until(
                lambda: (job := self.job(number)) and (job.state in states if states else job.ended) and job,
                seconds,
                f"job {number} to be {' or '.join(states) or 'ended'}",
                pause=0.2,
            )
        except TimeoutError as error:
            error.add_note(self.log_tails())
            raise

    def wait_for_jobs(self, seconds: float = 60) -> None:
        """Wait until no job waits or runs."""
        wait_until(lambda: not self.output("squeue --noheader"), seconds, "an empty queue", pause=0.2)

    def node_states(self) -> dict[str, str]:
        """State of each node as sinfo has it: idle, mixed, allocated, down, ...; `*` at its end: does not answer."""
        shown = self.output(["sinfo", "--noheader", "--Node", "--partition=cpu", "--format=%N %T"])
        return dict(line.split() for line in shown.splitlines())

    def wait_idle(self, seconds: float = 60) -> None:
        """Wait until every node is idle."""
        idle = dict.fromkeys(self.nodes, "idle")
        wait_until(lambda: self.node_states() == idle, seconds, "all nodes idle", pause=0.1)

    def node_processes(self, number: int) -> list[int]:
        """Process ids, as seen from outside, of all that runs on a node; none if it is dead."""
        room = self._rooms.get(node_name(number))
        return [pid for pid in room.processes() if self.plain or pid != room.pid] if room else []

    def listening(self, port: int) -> bool:
        """Whether a daemon of the cluster listens on a TCP port."""
        rows = [line.split() for line in Path(f"/proc/{self._login.pid}/net/tcp").read_text().splitlines()[1:]]
        return any(row[1].endswith(f":{port:04X}") and row[3] == "0A" for row in rows)

    def log_tails(self, lines: int = 15) -> str:
        """The last lines of every log that has any, for messages."""
        tails = []
        for file in sorted(self.logs.glob("*")):
            if text := file.read_text(errors="replace").splitlines()[-lines:]:
                tails.append("\n".join([f"--- {file}", *text]))
        return "\n".join(tails)

    # ---- within ----

    @property
    def _login(self) -> Room | Bare:
        return self._rooms["login"]

    def _popen(self, room, words, variables: dict, cwd=None, **options) -> Started:
        process = subprocess.Popen(
            room.enter(words, cwd or self.work),
            env=environment(**variables),
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            **options,
        )
        return Started(process, forked=room.isolated)

    def _move_in(self) -> None:
        """Namespaces and a folder in memory, or the machine itself with the right to be its only plain cluster."""
        if not self.plain:
            ETC.mkdir(exist_ok=True)
            (self.folder / "hosts").write_text(cluster_config.hosts(len(self.nodes)))
            setup = [
                # The C library resolves no name as long as there are only loopback addresses.
                "ip link set lo up && ip addr add 198.51.100.1/32 dev lo",
                f"mount --bind '{self.folder}/hosts' /etc/hosts",
                f"mount -t tmpfs -o mode=755 slurm {ETC}",
                "hostname login",
            ]
            flags = "--net --mount --uts --ipc --pid --fork --kill-child --mount-proc".split()
            self._rooms["login"] = Room(flags, "\n".join(setup))
            self._home, self._port = ETC, 6817
            self._files = self._login.root / "etc" / "slurm"
            return
        if Cluster._plain:
            Cluster._plain.stop()
        self._rooms["login"], Cluster._plain = Bare(), self
        ETC.mkdir(exist_ok=True)
        self._lock = os.open(ETC, os.O_RDONLY)
        wait_until(self._locked, 600, "the end of another plain cluster on this machine", pause=0.5)
        if (ETC / "slurm.conf").exists() and not (ETC / "slurm.conf").is_symlink():
            raise OSError(
                f"{ETC}/slurm.conf is there: this machine belongs to a cluster, and a plain one needs that place"
            )
        self._home = self._files = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
        self._home.chmod(0o755)
        self._port = free_ports(len(self.nodes) + 2)

    def _locked(self) -> bool:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _configure(self) -> None:
        texts = cluster_config.texts(
            self._home,
            self.logs,
            self._port,
            len(self.nodes),
            hostname=socket.gethostname() if self.plain else None,
            database=self.database,
            settings=self.settings,
        )
        for name, text in texts.items():
            (self._files / name).write_text(text)
            (self._files / name).chmod(0o600 if name == "slurmdbd.conf" else 0o644)
            if self.plain:
                (ETC / name).unlink(missing_ok=True)
                (ETC / name).symlink_to(self._home / name)
        for folder in ("state", "gpu", *(f"spool.{name}" for name in self.nodes)):
            (self._files / folder).mkdir()
        for i in range(GPUS):
            (self._files / "gpu" / f"nvidia{i}").symlink_to("/dev/null")
        (self._files / "munge.key").touch(mode=0o600)
        (self._files / "munge.key").write_bytes(os.urandom(128))
