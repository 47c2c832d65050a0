"""What a cluster does to a training job, done to the real rules: SIGTERM to all its processes, retries, a time limit."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest
import yaml
from clones import ENVIRONMENT, SCALEBIO, STUDY, Clone

pytestmark = pytest.mark.slow

WEIGHTS = f"{SCALEBIO}/weights.json"
LOG = "logs/small/learn_weights/sums/tiny/scalebio/seed0.log"
UNIFORM = "results/small/sums/tiny/uniform/seed0"
NOTE = f"{UNIFORM}/checkpoints/learn_weights.failed.json"


def shell_of(clone: Clone, target: str, script: str, *arguments: str) -> str:
    """The shell command of a rule, word for word, as Snakemake hands it to bash."""
    shown = clone.run(target, "-n", "-p", *arguments)
    (command,) = re.findall(rf"^Shell command: (.*{script}.*)$", shown, re.MULTILINE)
    return f"set -euo pipefail; {command}"


def resources_of(clone: Clone, target: str, *arguments: str) -> dict[str, str]:
    shown = clone.run(target, "-n", *arguments)
    (line,) = re.findall(r"rule learn_weights:\n(?:    .*\n)*?    resources: (.*)$", shown, re.MULTILINE)
    return dict(part.split("=", 1) for part in line.split(", "))


def test_sigterm_to_every_process_of_a_job_leaves_a_checkpoint_and_a_whole_log(finished_copy):
    """SLURM signals the shell and `tee` too: a job that lost them would lose its checkpoint or its last words."""
    finished_copy.edit_study(lambda study: study["methods"]["scalebio"].update(steps=300, check_steps=0))
    shell = shell_of(finished_copy, WEIGHTS, "learn_weights.py")
    log, folder = finished_copy.path / LOG, finished_copy.path / SCALEBIO / "checkpoints/learn_weights"

    def start() -> subprocess.Popen:
        log.unlink(missing_ok=True)
        options = {"cwd": finished_copy.path, "env": ENVIRONMENT, "stdout": subprocess.DEVNULL}
        return subprocess.Popen(["bash", "-c", shell], start_new_session=True, **options)

    assert start().wait(300) == 0
    through = finished_copy.results()[WEIGHTS]
    (finished_copy.path / WEIGHTS).unlink()

    job = start()
    deadline = time.monotonic() + 180
    while not (log.exists() and re.search(r"seed0: \d+/300,", log.read_text())):
        assert job.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(job.pid, signal.SIGTERM)
    assert job.wait(60) == 75
    said = re.search(
        r"stopped by a signal after step (\d+) of 300; the next run goes on from (\S+)\n$", log.read_text()
    )
    assert said and [path.name for path in folder.iterdir()] == [f"step-{int(said[1]):07d}"]
    assert not (finished_copy.path / WEIGHTS).exists()

    assert start().wait(300) == 0
    first = int(re.search(r"seed0: (\d+)/300,", log.read_text())[1])
    assert first > int(said[1])  # it went on, and did not begin again
    assert finished_copy.results()[WEIGHTS] == through
    assert not [path for path in finished_copy.results() if ".lock" in path]


def test_a_crash_that_would_come_back_is_not_tried_again(finished_copy):
    script = finished_copy.path / "scripts/scalebio/weighting/uniform.py"
    sound = script.read_text(encoding="utf-8")
    script.write_text(sound.replace("return Outcome(", "return Outcome(1 / 0 * "))
    done = finished_copy.snakemake(f"{UNIFORM}/weights.json", "--retries", "2")
    assert done.returncode != 0
    assert done.stdout.count("return Outcome(1 / 0 * ") == 1, done.stdout
    assert done.stdout.count("error: Attempt 1 of this job (on ") == 3, done.stdout
    assert "so it is not tried again:\nZeroDivisionError" in done.stdout
    assert finished_copy.json(NOTE)["attempt"] == 1

    def eight_gpus(study):
        study["models"]["tiny"]["hardware"] = {"gpus": 8, "processes": 8, "nodes": 2}
        study["methods"]["uniform"] = study["methods"]["scalebio"]

    study = yaml.safe_load((finished_copy.path / STUDY).read_text(encoding="utf-8"))
    finished_copy.edit_study(eight_gpus)
    full = {"gpu": "0", "gres": "gpu:8", "nodes": "2", "tasks": "2", "mpi": "srun"}
    least = {"gpu": "0", "nodes": "1", "tasks": "1"}
    for attempt, expected in (("1", full), ("2", least)):
        asked = resources_of(finished_copy, f"{UNIFORM}/weights.json", "--attempt", attempt)
        assert expected.items() <= asked.items() and asked["attempt"] == attempt
        assert ("gres" in asked) == ("gres" in expected) == ("mpi" in asked)

    finished_copy.edit_study(lambda now: (now.clear(), now.update(study)))
    script.write_text(sound)
    finished_copy.run(f"{UNIFORM}/weights.json")
    assert not (finished_copy.path / NOTE).exists()


def test_a_retry_that_will_end_at_once_loads_nothing_heavy(finished_copy, tmp_path):
    (finished_copy.path / NOTE).parent.mkdir(exist_ok=True)
    (finished_copy.path / NOTE).write_text(
        '{"error": "e", "attempt": 1, "job": "417", "host": "node7", "when": "then"}'
    )
    (tmp_path / "torch.py").write_text("raise AssertionError('torch is loaded')")
    (finished_copy.path / UNIFORM / "weights.json").unlink()
    shell = shell_of(finished_copy, f"{UNIFORM}/weights.json", "learn_weights.py", "--attempt", "2")
    environment = ENVIRONMENT | {"PYTHONPATH": str(tmp_path)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = subprocess.run(["bash", "-c", shell], cwd=finished_copy.path, env=environment, **pipes)
    assert done.returncode == 2 and "Attempt 1 of this job (on node7, SLURM job 417, then)" in done.stdout
    assert "AssertionError" in subprocess.run([sys.executable, "-c", "import torch"], env=environment, **pipes).stdout


def test_a_job_on_a_cluster_knows_its_time_and_one_at_home_has_as_long_as_it_needs(finished_copy):
    (finished_copy.path / WEIGHTS).unlink()
    minutes = ("--set-resources", "learn_weights:runtime=77")
    # What Snakemake's executors for clusters say to the Snakemake that they start in a job.
    there = shell_of(finished_copy, WEIGHTS, "learn_weights.py", *minutes, "--mode", "remote")
    here = shell_of(finished_copy, WEIGHTS, "learn_weights.py", *minutes)
    assert " --minutes 77 --attempt 1 " in there and " --minutes " not in here and " --attempt 1 " in here
