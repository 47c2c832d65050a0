"""Can the jobs of a run be sent to this SLURM site? Asked once, before anything is submitted.

Partition and account come from SCALEBIO_SLURM_* (`docs/slurm.md` lists them) or from a profile of the user's own. What the
site does not demand may be left out, which only SLURM itself can tell, so it is asked.
"""

import re
import shutil
import subprocess
from collections.abc import Mapping

from scalebio.errors import UserError

# The executor asks for ended jobs by squeue only where they stay that long, else by sacct.
SHORTEST_JOB_AGE = 120


def check(environment: Mapping[str, str], partitions: set[str], accounts: set[str]) -> list[str]:
    """Warnings about the site; `partitions` and `accounts`: those that jobs ask for, "" where one asks for none.

    Raises UserError with everything that is missing or that the site does not have.
    """
    if not shutil.which("sbatch", path=environment.get("PATH")):
        raise UserError(
            "there is no `sbatch` here, so no job can be submitted. Run this on a login node of the cluster, or on one "
            "machine with `snakemake --profile workflow/profiles/local`. A dry run (`-n`) works anywhere."
        )
    faults = _partition_faults(environment, partitions) + (_account_faults(environment) if "" in accounts else [])
    if faults:
        raise UserError("the cluster cannot take this run:\n" + "\n".join(f"  {fault}" for fault in faults))
    age = re.search(r"^MinJobAge\s*=\s*(\d+)", _ask(environment, "scontrol", "show", "config"), re.MULTILINE)
    if age and int(age[1]) < SHORTEST_JOB_AGE:
        return [
            f"SLURM forgets ended jobs after {age[1]} s (MinJobAge); below {SHORTEST_JOB_AGE} s they are looked up with "
            "sacct, with which `scancel` is never noticed. The watchdog ends a run that waits for such a job."
        ]
    return []


def _partition_faults(environment: Mapping[str, str], partitions: set[str]) -> list[str]:
    shown = _ask(environment, "sinfo", "--noheader", "--format=%P").split()
    there = [name.rstrip("*") for name in shown]
    if not there:
        return ["`sinfo` shows no partition: is the controller up? Try `sinfo`."]
    # Several may be given: SLURM takes the first that is free.
    unknown = sorted({name for given in partitions for name in re.split(r"[,\s]+", given) if name} - set(there))
    faults = []
    if unknown:
        faults.append(
            f"there is no partition {', '.join(unknown)}; there are: {', '.join(there)}. Correct SCALEBIO_SLURM_PARTITION or "
            "SCALEBIO_SLURM_GPU_PARTITION."
        )
    chosen = environment.get("SNAKEMAKE_SLURM_PARTITIONS")
    if "" in partitions and not chosen and not any(name.endswith("*") for name in shown):
        faults.append(
            f"the site has no default partition. Set SCALEBIO_SLURM_PARTITION to one of {', '.join(there)}, and "
            "SCALEBIO_SLURM_GPU_PARTITION to one with GPUs, if the study needs some."
        )
    return faults


def _account_faults(environment: Mapping[str, str]) -> list[str]:
    config = _ask(environment, "scontrol", "show", "config")
    enforced = re.search(r"^AccountingStorageEnforce\s*=\s*(\S+)", config, re.MULTILINE)
    if not enforced or enforced[1] == "none":
        return []
    user = environment.get("USER", "")
    default = _ask(environment, "sacctmgr", "-n", "-P", "show", "user", user, "format=defaultaccount").strip()
    if default:
        return []
    mine = _ask(environment, "sacctmgr", "-n", "-P", "show", "assoc", f"user={user}", "format=account").split()
    which = f"one of yours: {', '.join(mine)}" if mine else "an account that you may use"
    return [f"jobs need an account here and you have no default one. Set SCALEBIO_SLURM_ACCOUNT to {which}."]


def _ask(environment: Mapping[str, str], *command: str) -> str:
    """What a command of SLURM prints; nothing if it is missing, fails or does not answer."""
    try:
        done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
