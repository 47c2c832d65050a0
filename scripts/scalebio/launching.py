"""From the processes a job is to run on to the words that start it: `python`, `accelerate launch`, or one a node by `srun`.

Nothing here reaches the results: the global batch is the study's, and how it is shared out follows from the number of
processes. Imports nothing heavy, because the rules call it.
"""

import shlex

from scalebio.config import Hardware

# One task a node; each starts its own processes and finds the others at the first node. `$0` is python.
_ON_EACH_NODE = (
    'exec "$0" -m accelerate.commands.launch --multi_gpu --num_machines "$SLURM_NNODES" --num_processes {total} '
    '--machine_rank "$SLURM_NODEID" --main_process_ip "$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)" '
    # Two jobs that share a node must not meet.
    '--main_process_port "$((20000 + SLURM_JOB_ID % 10000))" --mixed_precision no --dynamo_backend no "$@"'
)


def launch_line(python: str, hardware: Hardware) -> str:
    """Shell words to put before an entry point and its arguments, quoted.

    One process: `python`. Several on a node: `accelerate launch` on a free port. Several nodes: `srun`, inside an
    allocation of that many nodes, which is what the rules' `resources` ask SLURM for. Precision is chosen by the job.
    """
    nodes, gpus, total = hardware.nodes, hardware.gpus, hardware.nodes * hardware.processes
    if total == 1:
        return shlex.quote(python)
    # Snakemake sets the threads of a whole job. Without the second, accelerate looks for GPUs, and processes that share
    # none would be refused.
    prefix = f"OMP_NUM_THREADS={hardware.cpus} MKL_NUM_THREADS={hardware.cpus} "
    prefix += "" if gpus else "ACCELERATE_USE_CPU=true "
    if nodes == 1:
        return (
            f"{prefix}{shlex.quote(python)} -m accelerate.commands.launch --multi_gpu --num_machines 1 "
            f"--num_processes {total} --main_process_port 0 --mixed_precision no --dynamo_backend no"
        )
    per_node = f"--gpus-per-node={gpus} " if gpus else ""
    return (
        f"{prefix}srun --nodes={nodes} --ntasks={nodes} --ntasks-per-node=1 {per_node}--kill-on-bad-exit=1 "
        f"bash -c {shlex.quote(_ON_EACH_NODE.format(total=total))} {shlex.quote(python)}"
    )


def sharing_flags(hardware: Hardware) -> str:
    """The flags of a training entry point that say how its processes share the work, and what they should find."""
    flags = ["--shard"] * hardware.shard + ["--offload"] * hardware.offload + ["--recompute"] * hardware.recompute
    flags += [f"--micro-batch {hardware.micro_batch}"] if hardware.micro_batch else []
    expected = {name: getattr(hardware, name) for name in ("nodes", "processes", "gpus", "memory_gb")}
    if hardware.gpus or hardware.nodes * hardware.processes > 1:
        flags += [f"--expect-{name.replace('_', '-')} {value:g}" for name, value in expected.items() if value]
    return " ".join(flags)
