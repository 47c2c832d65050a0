"""Time, memory and the queue: what a real SLURM refuses or ends, and how a run comes through or says why not."""

import time

import pytest
import training
from rooms import wait_until
from training import ON_CLUSTER, WEIGHTS

MINUTE = 0.017  # in hours; SLURM counts in minutes


@pytest.mark.slurm(limit=600)
def test_training_past_its_time_limit_goes_on_in_the_next_job(cluster, trained, training_clone):
    training_clone.edit_study(lambda study: study["models"]["tiny"].update(hardware={"hours": MINUTE}))
    run = cluster.start_snakemake(training_clone, WEIGHTS, *ON_CLUSTER, "--retries", "6")
    job = training.wait_for_training(cluster, run, training_clone)
    # It stands still rather than computes until its time, but the last fifth, is over.
    process = training.process_of(cluster, job)
    process.suspend()
    time.sleep(max(0, process.create_time() + 0.8 * 60 - time.time()))
    process.resume()
    done = cluster.finish_snakemake(run, training_clone, 300)
    assert done.returncode == 0, done.stdout
    first, *between, last = cluster.jobs()
    # On a busy machine a job starts so slowly that SLURM's limit comes before its own, or while it writes its checkpoint.
    assert last.state == "COMPLETED" and {job.state for job in (first, *between)} <= {"FAILED", "TIMEOUT"}
    said = training.said_by(training_clone, job.id)
    assert "because its 1 minutes (`runtime`) are nearly over" in said and "the next run goes on from" in said, said
    assert training.went_on(training_clone, last.id)
    assert training.weights(training_clone) == training.weights(trained)
    training.nothing_half_written(training_clone)


@pytest.mark.slurm(limit=600)
def test_too_little_memory_is_followed_by_more(new_cluster, finished, short_clone):
    # Polled often, as SLURM without cgroups looks at memory only then.
    cluster = new_cluster(settings={"JobAcctGatherFrequency": 1})
    short_clone.edit_study(lambda study: study["models"]["tiny"].update(hardware={"memory_gb": 0.5}))
    done = cluster.snakemake(short_clone, WEIGHTS, *ON_CLUSTER, "--retries", "6", limit=480)
    assert done.returncode == 0, done.stdout
    *before, last = cluster.jobs()
    assert before and last.state == "COMPLETED"
    asked = [int(memory.removesuffix("M")) for memory in cluster.output("squeue -h -t all -o %m -S i").split()]
    assert asked == sorted(set(asked)) and asked[0] == 500
    assert training.weights(short_clone) == training.weights(finished)


def test_a_crash_that_would_come_back_is_not_retried(cluster, training_clone):
    training_clone.edit_study(lambda study: study["methods"]["scalebio"].update(learning_rate=1e30))
    done = cluster.snakemake(training_clone, WEIGHTS, *ON_CLUSTER, "--retries", "1", limit=300)
    assert done.returncode == 1, done.stdout
    first, second = cluster.jobs()
    assert "step" in training.said_by(training_clone, first.id)
    said = training.said_by(training_clone, second.id)
    assert f"job {first.id}" in said and "again" in said, said


@pytest.mark.slurm(limit=600)
def test_an_impossible_request_is_refused_at_once_and_named(cluster, training_clone):
    training.lengthen(training_clone, memory_gb=10_000)
    run = cluster.start_snakemake(training_clone, WEIGHTS, *ON_CLUSTER)
    console = training_clone.path / "console.txt"
    wait_until(
        lambda: "Exiting because a job execution failed" in console.read_text(encoding="utf-8"), 40, "the refusal"
    )
    said = console.read_text(encoding="utf-8")
    assert "Memory specification can not be satisfied" in said and "--mem 10000000" in said
    # The executor ends when it next looks at its jobs, which it has none of.
    assert cluster.finish_snakemake(run, training_clone, 400).returncode == 1
    assert not cluster.output("squeue --noheader")


def test_a_partition_that_is_not_there_is_refused_before_anything_is_submitted(cluster, training_clone):
    done = cluster.snakemake(training_clone, WEIGHTS, *ON_CLUSTER, limit=120, SCALEBIO_SLURM_PARTITION="big")
    assert done.returncode == 1 and "there is no partition big; there are: " in done.stdout
    assert not cluster.jobs()


def test_a_queue_that_is_busy_is_asked_again(cluster, finished, short_clone, tmp_path):
    """The first sbatch says what a busy controller says (a stand-in before the real one, which takes the second)."""
    (tmp_path / "sbatch").write_text(
        f"#!/bin/sh\n[ -e '{tmp_path}/asked' ] && exec /usr/bin/sbatch \"$@\"\ntouch '{tmp_path}/asked'\n"
        "echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation' >&2\nexit 1\n"
    )
    (tmp_path / "sbatch").chmod(0o755)
    path = cluster.output("echo $PATH")
    from study import SITE

    done = cluster.snakemake(short_clone, WEIGHTS, *ON_CLUSTER, limit=300, PATH=f"{tmp_path}:{SITE['PATH']}:{path}")
    assert done.returncode == 0, done.stdout
    assert "Socket timed out" in done.stdout and [job.state for job in cluster.jobs()] == ["COMPLETED"]
    assert training.weights(short_clone) == training.weights(finished)


@pytest.mark.slurm(limit=600)
def test_the_watchdog_ends_a_run_that_hangs(accounting_cluster, training_clone):
    """By sacct, which the profile does not use, the executor never notices `scancel`."""
    training.lengthen(training_clone, 100_000)
    run = accounting_cluster.start_snakemake(
        *(training_clone, WEIGHTS, *ON_CLUSTER, "--slurm-status-command", "sacct"),
        SCALEBIO_SLURM_WATCHDOG_MINUTES="0.3",
    )
    job = training.wait_for_training(accounting_cluster, run, training_clone)
    accounting_cluster.run(f"scancel {job.id}")
    done = accounting_cluster.finish_snakemake(run, training_clone, 540)
    assert done.returncode == 1, done.stdout
    assert str(job.id) in done.stdout.split("queue")[-1] or f"{job.id}.log" in done.stdout, done.stdout
