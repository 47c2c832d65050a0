"""Launch lines as text, and run: several processes of one node, and two nodes with a stand-in for srun."""

import json
import os
import shlex
import stat
import subprocess
import sys

import jobs
import pytest

from scalebio import cli
from scalebio.config import Hardware
from scalebio.launching import launch_line, sharing_flags


def test_one_process_is_plain_python():
    assert launch_line("/opt/my env/python", Hardware()) == "'/opt/my env/python'"


def test_eight_gpus_of_one_node():
    assert launch_line("python", Hardware(processes=8, gpus=8, cpus=6)) == (
        "OMP_NUM_THREADS=6 MKL_NUM_THREADS=6 python -m accelerate.commands.launch --multi_gpu --num_machines 1 --num_processes 8 --main_process_port 0 "
        "--mixed_precision no --dynamo_backend no"
    )


def test_two_nodes_of_eight_gpus():
    words = shlex.split(launch_line("python", Hardware(nodes=2, processes=8, gpus=8)))
    assert words[:8] == [
        "OMP_NUM_THREADS=1",
        "MKL_NUM_THREADS=1",
        "srun",
        "--nodes=2",
        "--ntasks=2",
        "--ntasks-per-node=1",
        "--gpus-per-node=8",
        "--kill-on-bad-exit=1",
    ]
    assert words[8:10] == ["bash", "-c"] and words[11] == "python"
    assert "--num_processes 16" in words[10] and '--machine_rank "$SLURM_NODEID"' in words[10]


def test_without_gpus_the_processes_use_the_cpu():
    assert "ACCELERATE_USE_CPU=true " in launch_line("python", Hardware(processes=2))


def test_flags():
    assert sharing_flags(Hardware()) == ""
    hardware = Hardware(processes=2, shard=True, offload=True, micro_batch=4, recompute=True)
    shown = "--shard --offload --recompute --micro-batch 4 --expect-nodes 1 --expect-processes 2"
    assert sharing_flags(hardware) == shown


def test_the_flags_arrive_as_what_a_job_expects():
    hardware = Hardware(nodes=2, processes=8, gpus=8, memory_gb=400)
    arguments = cli.training_parser(None).parse_args(sharing_flags(hardware).split())
    assert cli.expected(arguments) == {"nodes": 2, "processes": 8, "gpus": 8, "memory_gb": 400}


def test_impossible_hardware_is_refused():
    with pytest.raises(ValueError, match="with gpus = 8 give processes = 8; found 1"):
        Hardware(gpus=8)
    with pytest.raises(ValueError, match="`offload` needs `shard: true`"):
        Hardware(offload=True)


# Not SLURM: it starts the two tasks that `srun` would start on two nodes, here, with the variables they would see.
STAND_IN = """#!/bin/bash
while [[ "$1" == --* ]]; do shift; done
export SLURM_NNODES=2 SLURM_JOB_NODELIST=here SLURM_JOB_ID={job}
SLURM_NODEID=1 "$@" & other=$!
SLURM_NODEID=0 "$@" & first=$!
# As by --kill-on-bad-exit: the first that fails ends both.
wait -n || {{ status=$?; kill $other $first; exit $status; }}
wait -n
"""


@pytest.fixture(scope="module")
def inputs(tiny, tmp_path_factory):
    """A base model and a pool, and in `one` the weights that one process learns."""
    folder = tmp_path_factory.mktemp("inputs")
    jobs.make_inputs(tiny, folder)
    jobs.run(jobs.weights_command(folder, folder / "one", method={"steps": 5}))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("nodes", [1, 2])
def test_learning_weights_by_the_line_equals_one_process(inputs, tmp_path, nodes):
    for name, text in {"srun": STAND_IN.format(job=os.getpid()), "scontrol": "#!/bin/bash\necho localhost\n"}.items():
        file = tmp_path / name
        file.write_text(text)
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
    hardware = Hardware(nodes=nodes, processes=2 // nodes, shard=True)
    # Both nodes are this machine, which the check of what came up would rightly complain of.
    flags = shlex.split(sharing_flags(hardware)) if nodes == 1 else ["--shard"]
    command = jobs.weights_command(inputs, tmp_path / "many", *flags, method={"steps": 5})
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(
        f"{launch_line(sys.executable, hardware)} {shlex.join(command)}",
        shell=True,
        cwd=jobs.ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ran.returncode == 0, ran.stderr
    one, many = (json.loads((folder / "weights.json").read_text()) for folder in (inputs / "one", tmp_path / "many"))
    assert one["provenance"]["world_size"] == 1 and many["provenance"]["world_size"] == 2
    assert many["weights"] == pytest.approx(one["weights"], abs=1e-5)
    assert not list((tmp_path / "many").rglob(".preflight-*"))


@pytest.mark.slow
def test_a_model_fine_tuned_in_parts_is_saved_whole(inputs, tmp_path):
    from transformers import AutoModelForCausalLM

    lisa = {"layers": 1, "interval": 3}
    jobs.run(jobs.finetune_command(inputs, tmp_path / "one", lisa=lisa))
    launcher = ("env", *shlex.split(launch_line(sys.executable, Hardware(processes=2))))
    jobs.run(jobs.finetune_command(inputs, tmp_path / "two", "--shard", lisa=lisa), *launcher)
    one, two = (AutoModelForCausalLM.from_pretrained(tmp_path / out / "model").state_dict() for out in ("one", "two"))
    start = AutoModelForCausalLM.from_pretrained(inputs / "base").state_dict()
    assert one.keys() == two.keys()
    for name in one:
        assert (one[name] - two[name]).abs().max() < 1e-5, name
    assert any((one[name] - start[name]).abs().max() > 1e-3 for name in one)
    layers = [
        json.loads((tmp_path / out / "model" / "provenance.json").read_text())["layers"] for out in ("one", "two")
    ]
    assert layers[0] == layers[1] and layers[0]
