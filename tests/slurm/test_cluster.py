"""The throw-away cluster itself: it behaves as a SLURM cluster does, breaks where it is told to, and leaves nothing."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from cluster import ETC, Cluster
from limits import time_limit
from rooms import namespaces_refused, wait_until

HERE = Path(__file__).resolve().parent
ON_NODE_1 = ("--nodelist=node1", "--mem=100")


def test_two_idle_nodes_with_what_they_claim(cluster):
    assert cluster.node_states() == {"node1": "idle", "node2": "idle"}
    shown = cluster.output(["sinfo", "--noheader", "--Node", "--partition=gpu", "--format=%N %c %m %G"])
    assert shown.splitlines() == ["node1 32 64000 gpu:h100:8", "node2 32 64000 gpu:h100:8"]
    assert cluster.jobs() == []


def test_srun_on_one_node_and_on_two(cluster):
    one = cluster.output("srun --nodes=1 --gpus=3 sh -c 'echo $SLURM_JOB_NUM_NODES $CUDA_VISIBLE_DEVICES'")
    assert one == "1 0,1,2"
    both = cluster.output("srun --nodes=2 --gpus-per-node=8 sh -c 'echo $SLURMD_NODENAME $CUDA_VISIBLE_DEVICES'")
    assert sorted(both.splitlines()) == ["node1 0,1,2,3,4,5,6,7", "node2 0,1,2,3,4,5,6,7"]
    if not cluster.plain:
        assert sorted(cluster.output("srun --nodes=2 hostname").split()) == ["node1", "node2"]
        assert [cluster.output("hostname", node=i) for i in (None, 1, 2)] == ["login", "node1", "node2"]


def test_a_job_inside_a_job_finds_the_cluster_without_slurm_conf(cluster):
    # The executor plugin's inner step throws SLURM_CONF away.
    number = cluster.submit("unset SLURM_CONF; srun --ntasks=1 hostname", "--output=inner.txt")
    assert cluster.wait_for_job(number).state == "COMPLETED"
    assert (cluster.work / "inner.txt").read_text().split()


def test_jobs_on_one_node_see_different_gpus(cluster):
    numbers = [
        cluster.submit("echo $CUDA_VISIBLE_DEVICES; sleep 3", *ON_NODE_1, "--gpus=4", f"--output=gpus{i}.txt")
        for i in range(2)
    ]
    assert [cluster.wait_for_job(number).state for number in numbers] == ["COMPLETED"] * 2
    seen = [set((cluster.work / f"gpus{i}.txt").read_text().strip().split(",")) for i in range(2)]
    assert [len(gpus) for gpus in seen] == [4, 4] and not seen[0] & seen[1]


def test_the_second_job_that_wants_all_gpus_of_a_node_waits(cluster):
    first, second = [cluster.submit("sleep 4", *ON_NODE_1, "--gpus=8") for _ in range(2)]
    cluster.wait_for_job(first, "RUNNING")
    assert cluster.wait_for_job(second, "PENDING")
    assert [cluster.wait_for_job(number).state for number in (first, second)] == ["COMPLETED"] * 2
    times = "StartTime=(\\S+) EndTime=(\\S+)"
    (_, end), (start, _) = [
        re.search(times, cluster.output(f"scontrol show job {number}")).groups() for number in (first, second)
    ]
    assert start >= end


@pytest.mark.parametrize(
    "request_, words",
    [
        (["--nodes=2", "--gpus=17"], "Requested node configuration is not available"),
        (["--mem=64001"], "Memory specification can not be satisfied"),
        (["--time=2881"], "Requested time limit is invalid"),
        (["--gpus=a100:1"], "Requested node configuration is not available"),
    ],
)
def test_what_can_never_be_is_refused_at_once(cluster, request_, words):
    done = cluster.run(["sbatch", *request_, "--wrap", "true"], timeout=10, check=False)
    assert done.returncode != 0 and words in done.stderr
    assert not cluster.output("squeue --noheader") and cluster.node_states() == {"node1": "idle", "node2": "idle"}


def test_a_node_without_power_goes_down_and_comes_back(cluster):
    (cluster.work / "beat").unlink(missing_ok=True)
    number = cluster.submit("while sleep 0.2; do date +%N > beat; done", *ON_NODE_1, "--gpus=1")
    wait_until((cluster.work / "beat").exists, 30, "the job's first sign of life")
    cluster.kill_node(1)
    assert cluster.node_processes(1) == []
    beat = (cluster.work / "beat").read_text()
    assert cluster.wait_for_job(number, "NODE_FAIL", seconds=90).nodes == "node1"
    assert cluster.node_states() == {"node1": "down*", "node2": "idle"}
    assert (cluster.work / "beat").read_text() == beat
    cluster.start_node(1)
    assert cluster.node_states()["node1"] == "idle"
    assert cluster.output(["srun", *ON_NODE_1, "sh", "-c", "echo $SLURMD_NODENAME"]) == "node1"


def test_jobs_outlive_their_nodes_daemon(cluster):
    number = cluster.submit("sleep 2; echo done > outlived", *ON_NODE_1)
    cluster.wait_for_job(number, "RUNNING")
    cluster.kill_daemon(1)
    assert cluster.node_processes(1)
    wait_until((cluster.work / "outlived").exists, 30, "the end of the job's work")
    cluster.start_node(1)
    assert cluster.wait_for_job(number).state == "COMPLETED"


def test_jobs_outlive_the_controller(cluster):
    running = cluster.submit("sleep 3", *ON_NODE_1, "--gpus=8")
    waiting = cluster.submit("true", *ON_NODE_1, "--gpus=8")
    cluster.wait_for_job(running, "RUNNING")
    cluster.stop_controller()
    assert cluster.run("timeout 3 squeue", check=False).returncode != 0
    cluster.start_controller()
    assert {running, waiting} <= {job.id for job in cluster.jobs()}
    assert [cluster.wait_for_job(number).state for number in (running, waiting)] == ["COMPLETED"] * 2
    cluster.restart_controller()
    assert cluster.job(running).state == "COMPLETED"


def test_accounting_knows_the_job_and_its_gpus(accounting_cluster):
    number = accounting_cluster.submit("true", *ON_NODE_1, "--gpus=2", "--comment=who")
    assert accounting_cluster.wait_for_job(number).state == "COMPLETED"
    command = (
        f"sacct --noheader --allocations --parsable2 --jobs={number} --format=jobid,state,account,nodelist,alloctres"
    )
    row = wait_until(lambda: re.search(r".*COMPLETED.*", accounting_cluster.output(command)), 30, "the job in sacct")[0]
    assert row.split("|")[:4] == [str(number), "COMPLETED", "root", "node1"] and "gres/gpu=2" in row


def test_after_a_test_the_cluster_is_as_good_as_new(cluster):
    started = cluster.popen("sleep 1000")
    cluster.submit("sleep 1000", "--exclusive", "--nodes=2")
    cluster.run("scontrol update nodename=node2 state=drain reason=test")
    cluster.kill_node(1)
    cluster.stop_controller()
    cluster.restore()
    assert cluster.node_states() == {"node1": "idle", "node2": "idle"}
    assert not started.running and not cluster.output("squeue --noheader")


def test_a_command_that_hangs_is_stopped_and_named(cluster):
    with pytest.raises(TimeoutError, match=r"echo before; sleep 999 took longer than 1 s\nbefore"):
        cluster.run("echo before; sleep 999", timeout=1)
    with pytest.raises(AssertionError, match="ended with 3\nwhy"):
        cluster.run("echo why; exit 3")


def test_a_test_that_hangs_fails():
    with pytest.raises(pytest.fail.Exception, match="this one took longer than 0.2 s"), time_limit(0.2, "this one"):
        time.sleep(30)


def test_two_clusters_do_not_meet(cluster, new_cluster):
    if cluster.plain:
        pytest.skip("without namespaces there is one cluster at a time")
    other = new_cluster(nodes=3, settings={"MaxJobCount": 4321})
    assert other.nodes == ["node1", "node2", "node3"] and "4321" in other.output("scontrol show config")
    number = other.submit("sleep 1000")
    other.wait_for_job(number, "RUNNING")
    assert cluster.jobs() == []
    other.kill_node(1)
    other.kill_node(2)
    assert cluster.output("srun --nodes=2 echo both").split() == ["both", "both"]


ALIVE = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import psutil
from cluster import Cluster
from rooms import wait_until
cluster = Cluster(Path(sys.argv[2]))
cluster.start()
number = cluster.submit("setsid sleep 1000 & sleep 1000", "--nodelist=node1")
# A job counts as running before its script has started.
wait_until(lambda: [pid for pid in cluster.node_processes(1) if psutil.Process(pid).name() == "sleep"], 20, "its sleep")
print(*cluster._login.processes(), *cluster.node_processes(1), *cluster.node_processes(2), flush=True)
time.sleep(1000)
"""


def outside() -> dict:
    """What a cluster could leave on the machine: mounts, listening sockets, files."""
    sockets = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines() if line.split()[3] == "0A"]
    return {
        "mounts": Path("/proc/mounts").read_text(),
        "controller's port": any(address.endswith(f":{6817:04X}") for address in sockets),
        "etc": sorted(map(str, ETC.rglob("*"))) if ETC.exists() else [],
        "hosts": Path("/etc/hosts").read_text(),
        "files": sorted(map(str, Path("/tmp").glob("slurm-*"))),
        "host name": os.uname().nodename,
    }


def test_nothing_is_left_even_after_sigkill(cluster, tmp_path):
    if namespaces_refused():
        pytest.skip("without namespaces the end of everything cannot be promised")
    before = outside()
    process = subprocess.Popen(
        [sys.executable, "-c", ALIVE, str(HERE), str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    inside = [psutil.Process(int(pid)) for pid in process.stdout.readline().split()]
    assert {"slurmctld", "slurmd", "munged", "sleep"} <= {one.name() for one in inside}
    assert outside() == before
    starters = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert psutil.wait_procs([*inside, *starters], timeout=20)[1] == []
    assert outside() == before


def test_nothing_is_left_after_a_plain_cluster(cluster, tmp_path):
    if (ETC / "slurm.conf").exists() and not cluster.plain:
        pytest.skip(f"{ETC}/slurm.conf: this machine belongs to a cluster or runs another test")
    if cluster.plain:
        cluster.stop()
    before = outside()
    plain = Cluster(tmp_path, plain=True)
    with plain:
        both = plain.output("srun --nodes=2 --gpus-per-node=8 sh -c 'echo $SLURMD_NODENAME $CUDA_VISIBLE_DEVICES'")
        assert sorted(both.splitlines()) == ["node1 0,1,2,3,4,5,6,7", "node2 0,1,2,3,4,5,6,7"]
        number = plain.submit("setsid sleep 1000 & sleep 1000", *ON_NODE_1)
        plain.wait_for_job(number, "RUNNING")
        wait_until(lambda: len(plain.node_processes(1)) >= 4, 20, "slurmd, its step and the job's processes")
        inside = [psutil.Process(pid) for i in (1, 2) for pid in plain.node_processes(i)]
        inside += [psutil.Process(daemon.pid) for daemon in plain._daemons.values()]
        assert {"slurmctld", "slurmd", "munged", "sleep"} <= {one.name() for one in inside}
        plain.restart_controller()
        assert plain.job(number).state == "RUNNING"
    assert psutil.wait_procs(inside, timeout=20)[1] == []
    assert outside() == before
