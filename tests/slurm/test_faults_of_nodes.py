"""What happens when a node of a real cluster dies, or only seems to, or lacks something."""

import re
import sys

import pytest
import training
from rooms import wait_until
from training import ON_CLUSTER, WEIGHTS


@pytest.mark.slurm(limit=600)
def test_a_node_dies_and_training_goes_on_elsewhere(cluster, trained, training_clone):
    run = cluster.start_snakemake(training_clone, WEIGHTS, *ON_CLUSTER)
    job = training.wait_for_training(cluster, run, training_clone)
    cluster.kill_node(int(job.nodes.removeprefix("node")))
    done = cluster.finish_snakemake(run, training_clone, 480)
    assert done.returncode == 0, done.stdout
    first, second = cluster.jobs()
    assert (first.state, second.state) == ("NODE_FAIL", "COMPLETED") and second.nodes not in ("", first.nodes)
    assert re.search(rf"{job.id}.*NODE_FAIL", done.stdout), done.stdout
    # The dead job's lock was watched until its heartbeat had failed to come, then followed.
    assert training.went_on(training_clone, second.id)
    assert training.weights(training_clone) == training.weights(trained)
    training.nothing_half_written(training_clone)


@pytest.mark.slurm(limit=800)
def test_a_node_only_seems_dead_and_its_job_stays_the_one_writer(cluster, training_clone):
    # Long enough to outlive SLURM's patience with the node and the start of the next job.
    training.lengthen(training_clone, steps=100_000)
    run = cluster.start_snakemake(training_clone, WEIGHTS, *ON_CLUSTER, "--retries", "1")
    job = training.wait_for_training(cluster, run, training_clone)
    number = int(job.nodes.removeprefix("node"))
    cluster.kill_daemon(number)
    done = cluster.finish_snakemake(run, training_clone, 480)
    assert done.returncode == 1, done.stdout
    first, second = cluster.jobs()
    assert (first.state, second.state) == ("NODE_FAIL", "FAILED")
    # The second says who is first and changes nothing; the first trains on.
    refused = training.said_by(training_clone, second.id)
    assert re.search(rf"job {first.id}, .* on {job.nodes}", refused), refused
    before = training.checkpoints(training_clone)[-1].name
    assert cluster.node_processes(number)
    wait_until(lambda: training.checkpoints(training_clone)[-1].name > before, 120, "the first job to train on")
    assert not (training_clone.path / WEIGHTS).exists()


@pytest.mark.slurm(limit=480)
def test_nodes_without_the_environment_are_named(cluster, short_clone):
    for number in range(1, len(cluster.nodes) + 1):
        cluster.run(f"mount -t tmpfs none '{sys.prefix}'", node=number)
    done = cluster.snakemake(short_clone, WEIGHTS, *ON_CLUSTER, "--retries", "0", limit=180)
    # The mounts live and die with the nodes' own namespaces.
    for number in range(1, len(cluster.nodes) + 1):
        cluster.run(f"umount '{sys.prefix}'", node=number)
    assert done.returncode == 1, done.stdout
    (job,) = cluster.jobs()
    assert f"SLURM-job '{job.id}' failed" in done.stdout and f"{job.id}.log" in done.stdout
    assert re.search(r"No such file or directory|not found", training.said_by(short_clone, job.id))


@pytest.mark.slurm(limit=480)
def test_output_that_arrives_late_is_waited_for(cluster, finished, short_clone, tmp_path):
    """The job's node writes where the login node sees it only some seconds after the job has ended."""
    results = (short_clone.path / WEIGHTS).parent
    elsewhere = tmp_path / "not seen yet"
    elsewhere.mkdir()
    for number in range(1, len(cluster.nodes) + 1):
        cluster.run(["mount", "--bind", str(elsewhere), str(results)], node=number)
    late = cluster.popen(
        f"until [ -e '{elsewhere}/weights.json' ] && squeue -h -t COMPLETED | grep -q .; do sleep 0.2; done; sleep 4; "
        f"cp -p '{elsewhere}'/*.json '{elsewhere}'/*.parquet '{results}'"
    )
    run = cluster.start_snakemake(short_clone, WEIGHTS, *ON_CLUSTER, "--latency-wait", "30")
    done = cluster.finish_snakemake(run, short_clone, 300)
    for number in range(1, len(cluster.nodes) + 1):
        cluster.run(["umount", str(results)], node=number)
    assert done.returncode == 0 and late.wait(5) == 0, done.stdout
    assert [job.state for job in cluster.jobs()] == ["COMPLETED"]
    assert training.weights(short_clone) == training.weights(finished)
