"""Before a model is loaded: is what was asked for there? In seconds, instead of after an hour on one of eight GPUs.

Launchers may start fewer processes than asked without a word, a node may show fewer GPUs, hold another Python, or not see
the file system that the results lie on. Each process tells what it finds; all compare, and all stop with the same message.
"""

import os
import platform
import secrets
import socket
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
import torch

from scalebio.config import Hardware
from scalebio.errors import Retryable
from scalebio.parallel import Parallel

# Seconds that a file written on one node may take to be seen on another.
LATE = 30.0


@dataclass(frozen=True)
class Found:
    """What one process finds."""

    host: str
    gpus: int
    cuda: str | None
    visible: str | None
    memory_gb: float
    python: str
    torch: str
    sees_folder: bool


def check_expected(expected: dict, folder: Path, parallel: Parallel | None = None) -> None:
    """`check` what the command line told a job to expect (keys of `hardware`); nothing if that is nothing."""
    if expected:
        check(parallel or Parallel(), Hardware.model_validate(expected), folder)


def check(parallel: Parallel, asked: Hardware, folder: Path, late: float = LATE) -> None:
    """Compare `asked` with what the processes find; `folder` is where results go. All processes must call it.

    Raises Retryable, as another node may have it, naming each thing that is missing, the node, and the key of `hardware`
    to change.
    """
    from accelerate.utils import gather_object

    found = _look(_shared(parallel, folder, late))
    everywhere = [Found(**seen) for seen in gather_object([asdict(found)])]
    if wrong := faults(asked, everywhere, folder):
        raise Retryable("this job did not get what it asked for:\n" + "\n".join(f"  {fault}" for fault in wrong))


def faults(asked: Hardware, found: list[Found], folder: Path) -> list[str]:
    """One sentence for each thing that is not as asked, by what every process found."""
    total, hosts = asked.nodes * asked.processes, sorted({seen.host for seen in found})
    wrong = []
    if len(found) != total:
        wrong.append(
            f"{total} processes were to run (hardware.nodes x processes = {asked.nodes} x {asked.processes}) and "
            f"{len(found)} came up, on {', '.join(hosts)}. Give hardware what the launcher can start."
        )
    elif len(hosts) != asked.nodes:
        wrong.append(
            f"hardware.nodes is {asked.nodes} and the processes run on {len(hosts)}: {', '.join(hosts)}. Several nodes "
            "need SLURM (`snakemake --profile slurm`) and a partition that has them."
        )
    for host in hosts:
        here = [seen for seen in found if seen.host == host]
        wrong += _faults_of_node(asked, host, here[0])
        if not all(seen.sees_folder for seen in here):
            wrong.append(
                f"node {host} does not see what another node wrote into {folder}. Put the repository on a file system that "
                "all nodes share."
            )
    for name in ("python", "torch"):
        versions = {getattr(seen, name): seen.host for seen in found}
        if len(versions) > 1:
            each = ", ".join(f"{version} on {host}" for version, host in versions.items())
            wrong.append(
                f"processes run different versions of {name}: {each}. Use one environment on a shared file system."
            )
    return wrong


def _faults_of_node(asked: Hardware, host: str, seen: Found) -> list[str]:
    wrong = []
    if seen.gpus < asked.gpus:
        why = (
            f"this build of torch is for CPUs ({seen.torch})"
            if not seen.cuda
            else f"CUDA_VISIBLE_DEVICES is {seen.visible or 'not set'}"
        )
        wrong.append(
            f"node {host} shows {seen.gpus} of {asked.gpus} GPUs: {why}. Lower hardware.gpus, or see that the partition "
            "and the environment give them."
        )
    if asked.memory_gb and seen.memory_gb < asked.memory_gb:
        wrong.append(
            f"node {host} has {seen.memory_gb:.0f} GB of memory and hardware.memory_gb is {asked.memory_gb:g}. Lower it or "
            "choose a partition with larger nodes."
        )
    return wrong


def _look(sees_folder: bool) -> Found:
    return Found(
        host=socket.gethostname(),
        gpus=torch.cuda.device_count(),
        cuda=torch.version.cuda,
        visible=os.environ.get("CUDA_VISIBLE_DEVICES"),
        memory_gb=psutil.virtual_memory().total / 1e9,
        python=platform.python_version(),
        torch=torch.__version__,
        sees_folder=sees_folder,
    )


def _shared(parallel: Parallel, folder: Path, late: float) -> bool:
    """Whether this process sees, in time, a file that the first one wrote."""
    from accelerate.utils import broadcast_object_list

    (token,) = broadcast_object_list([secrets.token_hex(8)])
    file = Path(folder) / f".preflight-{token}"
    if parallel.rank == 0:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    try:
        end = time.monotonic() + late
        while not (seen := file.exists()) and time.monotonic() < end:
            time.sleep(0.5)
        parallel.wait()
        return seen
    finally:
        if parallel.rank == 0:
            file.unlink(missing_ok=True)
