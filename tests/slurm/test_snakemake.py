"""Snakemake on the throw-away cluster's login node: jobs run on the nodes, and a run that hangs is ended and shown."""

import sys

import psutil
import pytest
from rooms import wait_until

# 1 GB, for SLURM counts the Snakemake within the job too: 170 MB, and more while it starts.
SNAKEFILE = """
rule all:
    input: "both.txt"

rule one:
    output: "one.txt"
    log: "logs/one.log"
    resources: mem_mb=1000, runtime=5, gpu=2
    shell: "echo $SLURMD_NODENAME $CUDA_VISIBLE_DEVICES $(python -c 'import sys; print(sys.prefix)') > {output} 2> {log}"

rule two:
    input: "one.txt"
    output: "both.txt"
    resources: mem_mb=1000, runtime=5
    shell: "{config[command]}; cat {input} > {output}; echo $SLURM_JOB_ID >> {output}"
"""
# As short as a profile can be: the plugin asks sacct by itself, which would hang without accounting.
PROFILE = """
executor: slurm
jobs: 2
slurm-status-command: squeue
slurm-no-requeue: true
slurm-keep-successful-logs: true
default-resources:
  slurm_account: __import__("os").environ["SCALEBIO_SLURM_ACCOUNT"]
  slurm_partition: __import__("os").environ["SCALEBIO_SLURM_PARTITION"]
"""


@pytest.fixture
def workflow(tmp_path):
    """A folder with two rules and a profile `slurm`; the second rule first runs a command of the test's choice."""
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "slurm").mkdir()
    (tmp_path / "slurm" / "profile.yaml").write_text(PROFILE)
    return tmp_path


def test_snakemake_runs_its_jobs_on_the_nodes(cluster, workflow):
    done = cluster.snakemake(workflow, "--profile", "slurm", "--config", "command=true", limit=150, eager=False)
    assert done.returncode == 0, done.stdout
    first, second = (workflow / "both.txt").read_text().splitlines()
    node, gpus, prefix = first.split()
    assert node in cluster.nodes and gpus == "0,1"
    # The python that runs these tests.
    assert prefix == sys.prefix
    jobs = cluster.jobs()
    assert [job.state for job in jobs] == ["COMPLETED", "COMPLETED"] and int(second) == jobs[1].id
    assert [job.comment for job in jobs] == ["rule_one", "rule_two"]
    assert "3 of 3 steps (100%) done" in done.stdout
    account = cluster.output(f"scontrol show job {jobs[0].id}")
    assert "Account=root" in account and "Partition=gpu" in account


def names_on(cluster, number: int) -> list[str]:
    """Names of the processes on a node."""
    there = set(cluster.node_processes(number))
    return [one.info["name"] for one in psutil.process_iter(["name"]) if one.pid in there]


def test_a_run_that_hangs_is_ended_with_its_jobs_and_shown(cluster, workflow):
    (workflow / "one.txt").write_text("made before\n")
    started = cluster.start_snakemake(workflow, "--profile", "slurm", "--config", "command=sleep 1000")
    # The process that a fault test would kill.
    assert "snakemake" in " ".join(psutil.Process(started.pid).cmdline())
    # Not only that it is in the queue as running: its script has to have come as far as the command.
    wait_until(lambda: "sleep" in [*names_on(cluster, 1), *names_on(cluster, 2)], 120, "the job's sleep", pause=0.5)
    done = cluster.finish_snakemake(started, workflow, seconds=1)
    assert done.returncode == 124 and not started.running
    shown = done.stdout[done.stdout.index("stopped by the test after 1 s") :]
    assert "state='RUNNING'" in shown and "rule_two" in shown and "slurmctld.log" in shown
    (job,) = cluster.jobs()
    assert cluster.wait_for_job(job.id).state == "CANCELLED"
    assert not (workflow / "both.txt").exists()
