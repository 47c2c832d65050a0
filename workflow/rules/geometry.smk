# What a job runs on: processes, GPUs, nodes, memory and time, from the `hardware` of its model, and the words that start it.
# All of it are resources, or functions of resources, so that no change of it makes a result stale.

import os

from scalebio.config import Hardware
from scalebio.launching import launch_line, sharing_flags


def site(name):
    """What the environment says of the cluster; the profile `slurm` reads the rest. None if it says nothing."""
    return os.environ.get(f"SCALEBIO_SLURM_{name}") or None


# Most that the site allows; a job that would ask for more asks for this.
MOST_MEMORY_MB = float(site("MAX_MEMORY_GB") or "inf") * 1000
MOST_MINUTES = float(site("MAX_HOURS") or "inf") * 60


def launcher(wildcards, resources):
    """How a job is started. Takes `resources` so that it never counts as a change of the job."""
    # Inside a conda environment `python` is that environment's; otherwise it is the one that runs Snakemake.
    return "python" if workflow.deployment_settings.deployment_method else sys.executable


def hardware_of(wildcards):
    """What a model trains on."""
    return model_of(wildcards).hardware


def learning_hardware(wildcards):
    """The same for learning weights: a method that has nothing to learn needs one process."""
    return Hardware() if STUDY.methods[wildcards.method].kind == "uniform" else hardware_of(wildcards)


def training_launcher(hardware):
    """Start a job on several processes and nodes. From the study, not the resources: the command line may cut those."""
    return lambda wildcards, resources: launch_line(launcher(wildcards, resources), hardware(wildcards))


def sharing(hardware):
    """Flags that tell a training job's processes how to share the work, and what each should find; no change of the job."""
    return lambda wildcards, resources: sharing_flags(hardware(wildcards))


def grown(amount, attempt, most):
    """A resource at this attempt: half as much again each time, and no more than can be had."""
    return int(min(amount * (1 + (attempt - 1) / 2), most))


def runtime(hours):
    """Time limit of a rule, in minutes."""
    return lambda wildcards, attempt: grown(hours * 60, attempt, MOST_MINUTES)


def memory(gigabytes):
    """Memory of a rule that holds no models, in MB."""
    return lambda wildcards, attempt: grown(gigabytes * 1000, attempt, MOST_MEMORY_MB)


def memory_mb(wildcards, attempt):
    """Memory of a job that holds models, in MB, on each of its nodes."""
    model = STUDY.models[wildcards.model]
    return grown((model.hardware.memory_gb or (2 if model.scratch else 8)) * 1000, attempt, MOST_MEMORY_MB)


def one_gpu(wildcards):
    """GPUs of a job that holds one model in one process: one, where the model has any."""
    return min(1, STUDY.models[wildcards.model].hardware.gpus)


def expect_gpu(wildcards, resources):
    """Tells such a job what to find. From the study, not the resources: the command line may cut those."""
    return f"--expect-gpus {one_gpu(wildcards)}" if one_gpu(wildcards) else ""


def partition(gpus):
    """The site's partition for a job with so many GPUs, a function of the wildcards; None leaves it to the executor."""
    return lambda wildcards: (gpus(wildcards) and site("GPU_PARTITION")) or site("PARTITION")


def model_threads(wildcards):
    """CPU cores of such a job."""
    return STUDY.models[wildcards.model].hardware.cpus


def training_threads(hardware):
    """CPU cores of a training job on each of its nodes."""
    return lambda wildcards: hardware(wildcards).cpus * hardware(wildcards).processes


def training_resources(hardware):
    """Resources of jobs that train on all processes, GPUs and nodes of their model.

    Several nodes are entered by our own `srun` (`mpi`), one task a node. `tasks_per_gpu` is 0 because the executor would
    otherwise start one for every GPU.
    """
    return dict(
        mem_mb=memory_mb,
        runtime=lambda wildcards, attempt: grown(hardware_of(wildcards).hours * 60, attempt, MOST_MINUTES),
        nodes=lambda wildcards: hardware(wildcards).nodes,
        tasks=lambda wildcards: hardware(wildcards).nodes,
        tasks_per_gpu=0,
        slurm_partition=partition(lambda wildcards: hardware(wildcards).gpus),
        gpu=lambda wildcards: hardware(wildcards).gpus if hardware(wildcards).nodes == 1 else 0,
        gres=lambda wildcards: gpus_of_each_node(hardware(wildcards)),
        mpi=lambda wildcards: None if hardware(wildcards).nodes == 1 else "srun",
    )


def gpus_of_each_node(hardware):
    """The `gres` of a job on several nodes; `gpu` counts those of a whole job, which SLURM may spread unevenly."""
    return f"gpu:{hardware.gpus}" if hardware.gpus and hardware.nodes > 1 else None
