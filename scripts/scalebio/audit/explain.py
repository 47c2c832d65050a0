"""Why one result is stale: the chain from what changed to the file, with what changed at its beginning."""

import difflib
import os

from scalebio.audit import plan
from scalebio.audit.plan import DONE, FOLLOWS, MISSING, STALE, UNFINISHED, Planned, own_reasons
from scalebio.errors import UserError

# Causes that are spelled out, and jobs in one chain; the rest is counted.
CAUSES, LINKS = 5, 8


def explain(file: str, jobs: list[Planned]) -> tuple[str, bool]:
    """A few lines about one file, and whether it is stale. Raises UserError for a file that no job of the study makes."""
    path = plan.relative(file)
    by_output = {output: job for job in jobs for output in job.outputs}
    if path not in by_output:
        near = difflib.get_close_matches(path, by_output, 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise UserError(f"--explain {file}: no job of this study makes it.{hint}")
    job = by_output[path]
    if job.state == DONE and not os.path.exists(path):
        return f"{path}: not there, and nothing that would run needs it; {job.name} would make it.", False
    if job.state == DONE:
        return f"{path}: up to date; made by {job.name}.", False
    if job.state == MISSING:
        return f"{path}: not made yet; {job.name} would make it: {job.why}.", False
    if job.state == UNFINISHED:
        return f"{path}: a run ended while {job.name} was making it; the next run makes it again.", False
    lines = [f"{path}: stale; {job.name} would make it again."]
    for chain in _chains(job, by_output):
        lines += [f"  {reason.text}" for reason in own_reasons(chain[-1])]
        lines.append(f"    so these run: {' → '.join(one.name for one in reversed(chain))}")
    return "\n".join(lines), True


def _chains(job: Planned, by_output: dict[str, Planned]) -> list[list[Planned]]:
    """From a job back to each job that has a reason of its own, by the shortest way; the nearest causes first."""
    chains, seen, waiting = [], {job.name}, [[job]]
    while waiting and len(chains) < CAUSES:
        chain = waiting.pop(0)
        if own_reasons(chain[-1]):
            chains.append(chain)
            continue
        if len(chain) == LINKS:
            continue
        for before in _before(chain[-1], by_output):
            if before.name not in seen:
                seen.add(before.name)
                waiting.append([*chain, before])
    return chains


def causes(jobs: list[Planned]) -> list[Planned]:
    """Jobs with a reason of their own from which all stale results follow, be it that a file before them is not there any more."""
    by_output = {output: job for job in jobs for output in job.outputs}
    waiting = [job for job in jobs if job.state == STALE]
    seen, found = {job.name for job in waiting}, []
    while waiting:
        job = waiting.pop(0)
        if own_reasons(job):
            found.append(job)
            continue
        for before in _before(job, by_output):
            if before.name not in seen:
                seen.add(before.name)
                waiting.append(before)
    return found


def _before(job: Planned, by_output: dict[str, Planned]) -> list[Planned]:
    """The jobs that a job would run after."""
    files = [file for reason in job.reasons if reason.kind == FOLLOWS for file in reason.files]
    return list({by_output[file].name: by_output[file] for file in files if file in by_output}.values())
