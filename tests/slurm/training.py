"""A training job of some length in a copy of the small study, for tests that disturb it on a cluster."""

import re
import time
from pathlib import Path

import psutil
from clones import SCALEBIO, STUDY, Clone
from cluster import Cluster
from rooms import Started, wait_until
from squeue import Job

WEIGHTS = f"{SCALEBIO}/weights.json"
CHECKPOINTS = f"{SCALEBIO}/checkpoints/learn_weights"
LOG = "logs/small/learn_weights/sums/tiny/scalebio/seed0.log"
ON_CLUSTER = ("--profile", "slurm", "--configfile", STUDY, "--latency-wait", "10")
# Enough for some five seconds of training on a free core, ten times what a test needs to see it and strike.
STEPS = 600


def lengthen(clone: Clone, steps: int = STEPS, **hardware) -> None:
    """Let the small study learn weights for `steps` steps on `hardware`, with several checkpoints a second."""

    def change(study: dict) -> None:
        study["methods"]["scalebio"].update(steps=steps, check_steps=0)
        study["models"]["tiny"]["hardware"] = hardware

    clone.edit_study(change)
    rules = clone.path / "workflow" / "rules" / "weights.smk"
    text = rules.read_text(encoding="utf-8")
    # Instead of every five minutes, for which a test cannot wait.
    changed = text.replace("--attempt", "--checkpoint-seconds 0.2 --attempt")
    assert changed != text
    rules.write_text(changed, encoding="utf-8")


def weights(clone: Clone) -> dict:
    """What was learnt: the weights and the LISA layers drawn on the way."""
    made = clone.json(WEIGHTS)
    return {"weights": made["weights"], "layers": made["layers"]}


def checkpoints(clone: Clone) -> list[Path]:
    """The checkpoints there are."""
    return sorted((clone.path / CHECKPOINTS).glob("step-*"))


def wait_for_training(cluster: Cluster, run: Started, clone: Clone, seconds: float = 180) -> Job:
    """Wait until the job trains, to be seen by its first checkpoint; the job."""

    def trains():
        assert run.running, (clone.path / "console.txt").read_text(encoding="utf-8")
        return checkpoints(clone)

    wait_until(trains, seconds, "the first checkpoint", pause=0.2)
    return next(job for job in cluster.jobs() if job.state == "RUNNING")


def process_of(cluster: Cluster, job: Job) -> psutil.Process:
    """The process that trains in a job on one node."""
    there = cluster.node_processes(int(job.nodes.removeprefix("node")))
    running = [one for one in psutil.process_iter(["cmdline"]) if one.pid in there]
    (found,) = [one for one in running if (one.info["cmdline"] or [])[1:2] == ["scripts/learn_weights.py"]]
    return found


def said_by(clone: Clone, job: int) -> str:
    """SLURM's own log of a job, where the profile says that it is."""
    (log,) = (clone.path / "logs" / "slurm").rglob(f"{job}.log")
    return log.read_text(encoding="utf-8", errors="replace")


def went_on(clone: Clone, job: int) -> bool:
    """Whether a job's first line of progress is that of a run which did not begin at its start."""
    first = re.search(rf"seed0: (\d+)/{STEPS},", said_by(clone, job))
    return bool(first) and int(first[1]) > 1


def nothing_half_written(clone: Clone) -> None:
    """No temporary, no lock and no checkpoint is left beside the results."""
    time.sleep(0.5)
    left = [path for path in (clone.path / "results").rglob("*") if ".part" in path.name or path.name.endswith(".lock")]
    assert not left and not checkpoints(clone), left
