"""A training job of some length in a copy of the small study, for tests that disturb it on a cluster."""

import re
import time
from pathlib import Path

from clones import SCALEBIO, STUDY, Clone
from cluster import Cluster, Job
from rooms import Started, wait_until

WEIGHTS = f"{SCALEBIO}/weights.json"
CHECKPOINTS = f"{SCALEBIO}/checkpoints/learn_weights"
LOG = "logs/small/learn_weights/sums/tiny/scalebio/seed0.log"
ON_CLUSTER = ("--profile", "slurm", "--configfile", STUDY, "--latency-wait", "10")
# Enough for some ten seconds of training on a free core.
STEPS = 1200


def lengthen(clone: Clone, steps: int = STEPS, **hardware) -> None:
    """Let the small study learn weights for `steps` steps on `hardware`, with a checkpoint every second."""

    def change(study: dict) -> None:
        study["methods"]["scalebio"].update(steps=steps, check_steps=0)
        study["models"]["tiny"]["hardware"] = hardware

    clone.edit_study(change)
    rules = clone.path / "workflow" / "rules" / "weights.smk"
    text = rules.read_text(encoding="utf-8")
    # Instead of every five minutes, for which a test cannot wait.
    changed = text.replace("--attempt", "--checkpoint-seconds 1 --attempt")
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
