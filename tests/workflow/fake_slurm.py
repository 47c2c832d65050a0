"""A SLURM that executes nothing by itself: clients on PATH that keep a queue in a folder, and do as a test tells them.

`sbatch` notes its arguments and puts the job into the state that the test chose; `squeue` shows the queue, `scancel`
empties it. With the file `away` in the folder, no client gets an answer, as when the controller is down.
"""

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

CLIENTS = ("sbatch", "squeue", "scancel", "scontrol", "sacct", "sacctmgr", "sshare", "sinfo", "srun")

# A profile for it: quick to look, with the site's values given.
PROFILE = {
    "executor": "slurm",
    "jobs": 50,
    "latency-wait": 1,
    "keep-going": True,
    "rerun-incomplete": True,
    "printshellcmds": True,
    "slurm-status-command": "squeue",
    "slurm-init-seconds-before-status-checks": 1,
    "slurm-no-requeue": True,
    "slurm-keep-successful-logs": True,
    "slurm-logdir": "logs/slurm",
    "slurm-jobname-prefix": "scalebio",
    "default-resources": {"slurm_account": "lab", "slurm_partition": "long"},
}


class FakeSlurm:
    """The folder of one fake SLURM, and what a test does with it."""

    def __init__(self, folder: Path, state: str = "PENDING"):
        """Install the clients in `folder/bin`; jobs that are submitted get `state`."""
        self.folder, self.bin = folder, folder / "bin"
        self.bin.mkdir(parents=True)
        (folder / "jobs").mkdir()
        self.new_jobs(state)
        for client in CLIENTS:
            (self.bin / client).write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} {folder} {client} "$@"\n')
            (self.bin / client).chmod(0o755)

    @property
    def path(self) -> str:
        """A PATH on which these clients come first."""
        return f"{self.bin}{os.pathsep}{os.environ['PATH']}"

    def new_jobs(self, state: str) -> None:
        """Jobs submitted from now on get this state."""
        (self.folder / "state").write_text(state)

    def jobs(self) -> list[dict]:
        """Every job ever submitted: number, argv of sbatch, name, comment, folder, state."""
        files = sorted((self.folder / "jobs").iterdir(), key=lambda file: int(file.stem))
        return [json.loads(file.read_text()) for file in files]

    def change(self, number: str, **values) -> None:
        """Change a job, its `state` say; state None: squeue forgets it."""
        file = self.folder / "jobs" / f"{number}.json"
        temporary = file.parent.parent / file.name
        temporary.write_text(json.dumps(json.loads(file.read_text()) | values))
        temporary.replace(file)

    def add(self, **job) -> str:
        """Put a job into the queue by hand; its number."""
        with open(self.folder / "lock", "w") as lock:
            # Snakemake submits several jobs at once; two with one number would lose one.
            fcntl.flock(lock, fcntl.LOCK_EX)
            number = str(len(list((self.folder / "jobs").iterdir())) + 1)
            temporary = self.folder / "new.json"
            temporary.write_text(json.dumps({"number": number, "argv": []} | job))
            temporary.replace(self.folder / "jobs" / f"{number}.json")
        return number

    def calls(self, client: str) -> int:
        """How often a client was called."""
        file = self.folder / "calls"
        return file.read_text().split().count(client) if file.exists() else 0

    def execute(self, number: str) -> subprocess.CompletedProcess:
        """Do what a job's command says, as its node would, and let the job end."""
        (job,) = (job for job in self.jobs() if job["number"] == number)
        command = next(word for word in job["argv"] if word.startswith("--wrap=")).removeprefix("--wrap=")
        environment = os.environ | {"PATH": self.path, "SLURM_JOB_ID": number}
        done = subprocess.run(command, shell=True, cwd=job["folder"], env=environment, capture_output=True, text=True)
        self.change(number, state="FAILED" if done.returncode else "COMPLETED")
        return done

    def away(self, is_away: bool = True) -> None:
        """Let the controller go away or come back."""
        (self.folder / "away").touch() if is_away else (self.folder / "away").unlink()


def _after(arguments: list[str], flag: str) -> str:
    return arguments[arguments.index(flag) + 1]


def _option(arguments: list[str], name: str) -> str | None:
    """The value of `--name=value` or `--name value`."""
    for i, word in enumerate(arguments):
        if word == f"--{name}":
            return arguments[i + 1]
        if word.startswith(f"--{name}="):
            return word.partition("=")[2]
    return None


def _squeue(slurm: FakeSlurm, arguments: list[str]) -> None:
    for job in slurm.jobs():
        ended = job["state"] not in ("PENDING", "RUNNING", "COMPLETING")
        if job["state"] is None or (ended and _option(arguments, "states") != "all"):
            continue
        if _option(arguments, "name") in (None, job["name"]):
            line = _option(arguments, "format")
            for letter, key in {"i": "number", "j": "name", "T": "state", "Z": "folder", "k": "comment"}.items():
                line = line.replace(f"%{letter}", job[key])
            print(line)


def main() -> None:
    """Be the client that the second argument names."""
    folder, client, *arguments = sys.argv[1:]
    slurm = FakeSlurm.__new__(FakeSlurm)
    slurm.folder = Path(folder)
    with open(slurm.folder / "calls", "a") as calls:
        calls.write(f"{client}\n")
    if (slurm.folder / "away").exists():
        sys.exit(f"{client}: error: Unable to contact slurm controller (connect failure)")
    if client == "sinfo":
        print("short\nlong")
    elif client == "scontrol" and arguments == ["show", "config"]:
        print("MinJobAge               = 300 sec")
    elif client == "sbatch":
        number = slurm.add(
            argv=arguments,
            name=_after(arguments, "--job-name"),
            comment=_after(arguments, "--comment"),
            folder=_after(arguments, "-D"),
            state=(slurm.folder / "state").read_text(),
        )
        print(number)
    elif client == "squeue":
        _squeue(slurm, arguments)
    elif client == "scancel":
        for number in arguments:
            slurm.change(number, state="CANCELLED")
    elif client == "srun":
        command = next(i for i, word in enumerate(arguments) if not word.startswith("-"))
        os.execvp(arguments[command], arguments[command:])
    elif client == "scontrol":
        print("MaxArraySize = 1001\nMinJobAge = 300 sec")
    elif client == "sacctmgr":
        print("lab")
    else:
        sys.exit(f"{client}: error: this is not to be called")


if __name__ == "__main__":
    main()
