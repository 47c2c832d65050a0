# What a job runs on: processes, GPUs, nodes, memory and time, from the `hardware` of its model, and the words that start it.
# All of it are resources, or functions of resources, so that no change of it makes a result stale.

import os

from scalebio import crash_notes
from scalebio.config import Hardware
from scalebio.launching import launch_line, sharing_flags


def site(name):
    """What the environment says of the cluster; the profile `slurm` reads the rest. None if it says nothing."""
    return os.environ.get(f"SCALEBIO_SLURM_{name}") or None


# Jobs on compute nodes read files only (what fetches is local), and must not wait for a network that is not there.
if workflow.remote_exec:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")


def most(name, unit):
    """The most that the site allows of something, infinite if it does not say; a job that would ask for more asks for this."""
    try:
        return float(site(name) or "inf") * unit
    except ValueError:
        raise StudyError(f"SCALEBIO_SLURM_{name} is {site(name)}: expected a number, such as 24.") from None


MOST_MEMORY_MB = most("MAX_MEMORY_GB", 1000)
MOST_MINUTES = most("MAX_HOURS", 60)


def launcher(wildcards, resources):
    """How a job is started. Takes `resources` so that it never counts as a change of the job."""
    # Inside a conda environment `python` is that environment's; otherwise it is the one that runs Snakemake.
    return "python" if workflow.deployment_settings.deployment_method else sys.executable


def hardware_for(stage):
    """What a training job runs on, by its wildcards and attempt: the hardware of its model.

    The least for a method that has nothing to learn, and for a retry that will end at once because the attempt before left
    a crash note: it must not queue for GPUs.
    """

    def hardware(wildcards, attempt=1):
        checkpoints = f"{RESULTS}/{RUN}/checkpoints/{stage}".format(**wildcards)
        idle = stage == "learn_weights" and wildcards.method not in LEARNS
        ends_at_once = attempt > 1 and crash_notes.path(checkpoints).exists()
        return Hardware() if idle or ends_at_once else model_of(wildcards).hardware

    return hardware


def training_launcher(hardware):
    """Start a job on several processes and nodes, so that it survives SIGTERM.

    What it runs on comes from the study, not from the resources, which the command line may cut.
    """

    def launch(wildcards, resources):
        # SLURM sends SIGTERM to every process of a job. The shell and `tee` must outlive the training, which writes a
        # checkpoint then: what is ignored here is so in all of them, and Python sets a handler of its own.
        line = launch_line(launcher(wildcards, resources), hardware(wildcards, resources.get("attempt", 1)))
        return f"trap '' TERM; {line}"

    return launch


def sharing(hardware):
    """Flags that tell a training job's processes how to share the work, and what each should find; no change of the job."""
    return lambda wildcards, resources: sharing_flags(hardware(wildcards, resources.get("attempt", 1)))


def time_limit(wildcards, resources):
    """The flag that tells a training job its minutes; like the launcher, no change of the job."""
    # Only a cluster ends a job when its time is over; on one's own machine it may take longer than was thought.
    return f"--minutes {resources.get('runtime')}" if workflow.remote_exec else ""


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


def gpu_partition(gpus):
    """The resource that sends jobs to the site's partition for GPUs, if it has one of its own; `gpus`: how many a job needs.

    Otherwise nothing, so that the profile's default holds, whoever wrote it.
    """
    if not site("GPU_PARTITION"):
        return {}
    return dict(
        slurm_partition=lambda wildcards, attempt: site("GPU_PARTITION" if gpus(wildcards, attempt) else "PARTITION")
    )


ONE_GPU_PARTITION = gpu_partition(lambda wildcards, attempt: one_gpu(wildcards))


def model_threads(wildcards):
    """CPU cores of such a job."""
    return STUDY.models[wildcards.model].hardware.cpus


def training_threads(hardware):
    """CPU cores of a training job on each of its nodes."""
    return lambda wildcards, attempt: hardware(wildcards, attempt).cpus * hardware(wildcards, attempt).processes


def training_resources(hardware):
    """Resources of jobs that train on all processes, GPUs and nodes of `hardware`, a function of wildcards and attempt.

    Several nodes are entered by our own `srun` (`mpi`), one task a node. `tasks_per_gpu` is 0 because the executor would
    otherwise start one for every GPU. `gpu` counts those of a whole job, which SLURM may spread unevenly over nodes, hence `gres`.
    """

    def resource(value):
        return lambda wildcards, attempt: value(hardware(wildcards, attempt))

    return dict(
        mem_mb=memory_mb,
        runtime=lambda wildcards, attempt: grown(model_of(wildcards).hardware.hours * 60, attempt, MOST_MINUTES),
        nodes=resource(lambda its: its.nodes),
        tasks=resource(lambda its: its.nodes),
        tasks_per_gpu=0,
        gpu=resource(lambda its: its.gpus if its.nodes == 1 else 0),
        gres=resource(lambda its: f"gpu:{its.gpus}" if its.gpus and its.nodes > 1 else None),
        mpi=resource(lambda its: "srun" if its.nodes > 1 else None),
        # For the shell: params are not computed again for a retry.
        attempt=lambda wildcards, attempt: attempt,
        **gpu_partition(lambda wildcards, attempt: hardware(wildcards, attempt).gpus),
    )
