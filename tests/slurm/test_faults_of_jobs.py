"""What happens to training jobs on a real cluster, one fault a test: the result is that of an undisturbed run."""

import re
import signal

import training
from training import ON_CLUSTER, WEIGHTS


def test_scancel_half_way(cluster, trained, training_clone):
    run = cluster.start_snakemake(training_clone, WEIGHTS, *ON_CLUSTER)
    job = training.wait_for_training(cluster, run, training_clone)
    cluster.run(f"scancel {job.id}")
    done = cluster.finish_snakemake(run, training_clone, 240)
    assert done.returncode == 0, done.stdout
    assert [job.state for job in cluster.jobs()] == ["CANCELLED", "COMPLETED"]
    # The job and its log are named.
    assert f"SLURM-job '{job.id}' failed" in done.stdout
    assert re.search(rf"logs/slurm/rule_learn_weights/\S+/{job.id}\.log", done.stdout)
    stopped = re.search(r"stopped by a signal after step (\d+) of", training.said_by(training_clone, job.id))
    assert stopped, training.said_by(training_clone, job.id)
    assert training.went_on(training_clone, cluster.jobs()[1].id)
    assert training.weights(training_clone) == training.weights(trained)
    training.nothing_half_written(training_clone)


def test_the_controller_is_restarted_while_jobs_run(cluster, trained, training_clone):
    run = cluster.start_snakemake(training_clone, WEIGHTS, *ON_CLUSTER)
    training.wait_for_training(cluster, run, training_clone)
    cluster.stop_controller()
    cluster.start_controller()
    done = cluster.finish_snakemake(run, training_clone, 240)
    assert done.returncode == 0, done.stdout
    assert [job.state for job in cluster.jobs()] == ["COMPLETED"]
    assert training.weights(training_clone) == training.weights(trained)


def test_ctrl_c_cancels_the_jobs_and_the_next_run_goes_on(cluster, trained, training_clone):
    run = cluster.start_snakemake(training_clone, WEIGHTS, *ON_CLUSTER)
    job = training.wait_for_training(cluster, run, training_clone)
    run.signal(signal.SIGINT)
    assert cluster.wait_for_job(job.id, seconds=180).state == "CANCELLED"
    assert cluster.finish_snakemake(run, training_clone, 120).returncode != 0
    assert not (training_clone.path / WEIGHTS).exists() and training.checkpoints(training_clone)
    done = cluster.snakemake(training_clone, WEIGHTS, *ON_CLUSTER, limit=240)
    assert done.returncode == 0, done.stdout
    assert training.went_on(training_clone, cluster.jobs()[1].id)
    assert training.weights(training_clone) == training.weights(trained)
    training.nothing_half_written(training_clone)


def test_snakemake_is_killed_and_the_next_run_finds_its_job(cluster, trained, training_clone):
    run = cluster.start_snakemake(training_clone, WEIGHTS, *ON_CLUSTER)
    job = training.wait_for_training(cluster, run, training_clone)
    # Or it might end while Snakemake starts twice; to cancel a job wakes its processes.
    training.process_of(cluster, job).suspend()
    run.kill()
    # That the folder is locked, and what is said then: tests/workflow/test_cluster_guard.py.
    assert cluster.snakemake(training_clone, *ON_CLUSTER, "--unlock", limit=120).returncode == 0
    refused = cluster.snakemake(training_clone, WEIGHTS, *ON_CLUSTER, limit=120)
    assert refused.returncode != 0 and f"scancel {job.id}" in refused.stdout, refused.stdout
    assert "rule_learn_weights" not in refused.stdout.split("scancel")[1] and len(cluster.jobs()) == 1
    done = cluster.snakemake(training_clone, WEIGHTS, *ON_CLUSTER, limit=300, SCALEBIO_SLURM_ORPHANS="cancel")
    assert done.returncode == 0, done.stdout
    assert [job.state for job in cluster.jobs()] == ["CANCELLED", "COMPLETED"]
    assert training.went_on(training_clone, cluster.jobs()[1].id)
    assert training.weights(training_clone) == training.weights(trained)
    training.nothing_half_written(training_clone)
