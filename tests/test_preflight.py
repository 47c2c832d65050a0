"""A job that did not get what it asked for stops in seconds and says what to change."""

import dataclasses
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import jobs
import pytest

from scalebio.config import Hardware
from scalebio.launching import sharing_flags
from scalebio.preflight import Found, faults

HERE = Found("node1", 8, "12.8", "0,1,2,3,4,5,6,7", 512.0, "3.11.7", "2.13.0", True)
FOLDER = Path("results/demo")


def found(count: int, **facts) -> list[Found]:
    return [dataclasses.replace(HERE, **facts) for _ in range(count)]


def test_what_was_asked_for_is_there():
    assert faults(Hardware(processes=8, gpus=8, memory_gb=500), found(8), FOLDER) == []
    assert faults(Hardware(nodes=2, processes=8, gpus=8), found(8) + found(8, host="node2"), FOLDER) == []


@pytest.mark.parametrize(
    "asked, seen, words",
    [
        (Hardware(processes=2), found(1), "2 processes were to run .*and 1 came up"),
        (Hardware(nodes=2, processes=4), found(8), "hardware.nodes is 2 and the processes run on 1: node1"),
        (
            Hardware(processes=8, gpus=8),
            found(8, gpus=4),
            "shows 4 of 8 GPUs: CUDA_VISIBLE_DEVICES is 0,1.*hardware.gpus",
        ),
        (Hardware(gpus=1), found(1, gpus=0, cuda=None), "shows 0 of 1 GPUs: this build of torch is for CPUs"),
        (Hardware(memory_gb=600), found(1), "512 GB of memory and hardware.memory_gb is 600"),
        (
            Hardware(processes=2),
            found(1) + found(1, sees_folder=False),
            "does not see what another node wrote into results",
        ),
        (
            Hardware(processes=2),
            found(1) + found(1, python="3.12.1"),
            "different versions of python: 3.11.7 on node1, 3.12",
        ),
    ],
)
def test_each_thing_that_is_missing_is_named(asked, seen, words):
    (fault,) = faults(asked, seen, FOLDER)
    assert re.search(words, fault), fault


def launched(folder, line: str, hardware: Hardware, *flags: str) -> subprocess.CompletedProcess:
    """The real entry point behind a launch line, told to expect `hardware`."""
    command = jobs.weights_command(folder, folder / "out", *flags, method={"steps": 2})
    return subprocess.run(
        f"{line} {shlex.join(command)} {sharing_flags(hardware)}",
        shell=True,
        cwd=jobs.ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.mark.slow
def test_a_launcher_that_starts_one_process_instead_of_two_is_caught(tiny, tmp_path):
    jobs.make_inputs(tiny, tmp_path)
    # What accelerate does with these words: one process, without a word.
    line = f"{sys.executable} -m accelerate.commands.launch --cpu --num_processes 2 --num_machines 1"
    start = time.process_time()
    ran = launched(tmp_path, line, Hardware(processes=2))
    assert ran.returncode != 0 and time.process_time() - start < 20
    assert "2 processes were to run (hardware.nodes x processes = 1 x 2) and 1 came up" in ran.stderr
    assert "Traceback" not in ran.stderr.split("error:")[0]
    assert not (tmp_path / "out" / "weights.json").exists()


@pytest.mark.slow
def test_gpus_that_are_not_there_are_missed_before_the_model_is_loaded(tiny, tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has GPUs")
    jobs.make_inputs(tiny, tmp_path)
    ran = launched(tmp_path, sys.executable, Hardware(gpus=1))
    assert ran.returncode == 2 and "shows 0 of 1 GPUs" in ran.stderr, ran.stderr
