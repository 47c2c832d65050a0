"""The jobs of a study as Snakemake itself plans them, why each would run, and which results are stale.

Snakemake reads the command line and builds the study's jobs; in place of running them they are written down. So the plan cannot drift
from what is run. A result is stale if it is there and would be made again; one that is not there is only missing.
"""

import ast
import contextlib
import json
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest.mock import patch

from snakemake import cli
from snakemake.workflow import Workflow

from scalebio.errors import UserError
from scalebio.study import check_files

DONE, MISSING, STALE, UNFINISHED = "done", "missing", "stale", "unfinished"
# Kinds of reasons. FOLLOWS: only because another job runs first.
FOLLOWS, NOT_THERE, CODE, INPUT = "follows", "not there", "code", "input"


@dataclass(frozen=True)
class Reason:
    """One reason for a job to run: its `kind`, a sentence, and the files it is about."""

    kind: str
    text: str
    files: tuple[str, ...] = ()


@dataclass
class Planned:
    """One job of the study: what it is, what it makes, what it asks for, and why it would run (`reasons` empty if it would not).

    `memory_mb` and `minutes` are what it asks for at the first attempt; `gpus` counts those of all its `nodes`.
    """

    rule: str
    wildcards: dict[str, str]
    outputs: list[str]
    benchmark: str | None
    threads: int
    nodes: int
    gpus: int
    memory_mb: int | None
    minutes: int | None
    state: str
    reasons: list[Reason] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The rule and its wildcards."""
        return " ".join([self.rule, "/".join(self.wildcards.values())]).strip()

    @property
    def why(self) -> str:
        """Why it would run, in a sentence."""
        return "; ".join(reason.text for reason in self.reasons)

    @property
    def needed(self) -> bool:
        """Whether it would run."""
        return self.state != DONE


def collect(arguments: list[str], fresh: bool = False) -> tuple[list[Planned], dict]:
    """Every job of the targets in `arguments` (a command line of Snakemake without its first word), and the study's configuration.

    Jobs stand in the order of the work, without the targets that make nothing. `fresh`: as if there were no results. Raises
    UserError where Snakemake refuses (it has said why on standard error), and for a study file that is not there or no YAML.
    """
    found: list[tuple[list[Planned], dict]] = []

    def record(workflow: Workflow, *others, **options) -> None:
        workflow._executor_plugin = options.get("executor_plugin") or others[0]
        workflow.executor_settings = None
        workflow._prepare_dag(forceall=False, ignore_incomplete=True, lock_warn_only=True, nolock=True)
        workflow._build_dag()
        workflow.async_run(workflow.dag.postprocess())
        jobs = _jobs(workflow)
        found.append((list(map(_unmade, jobs)) if fresh else jobs, dict(workflow.config)))

    # Resources are to be those of the study, whatever this machine has.
    given = [*arguments, "--nolock", "--cores", "100000", "--quiet", "host", "progress", "rules", "reason"]
    parser, parsed = cli.parse_args(given)
    # Snakemake names neither file nor line, or ends in a traceback.
    check_files(parsed.configfile or [])
    with patch.object(Workflow, "execute", record), warnings.catch_warnings():
        # Snakemake asks for the sizes of inputs, and drops the question where they do not exist yet.
        warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
        cli.args_to_api(parsed, parser)
    if not found:
        raise UserError("Snakemake refused this command line or study; its message stands above.")
    return found[0]


def _jobs(workflow: Workflow) -> list[Planned]:
    dag = workflow.dag
    order = {job: level for level, jobs in enumerate(dag.toposorted()) for job in jobs}
    jobs = sorted(order, key=lambda job: (order[job], job.rule.name, *job.wildcards_dict.values()))
    return [_planned(workflow, job) for job in jobs if job.output]


def _planned(workflow: Workflow, job) -> Planned:
    resources, outputs = job.resources, list(map(str, job.output))
    nodes = resources.get("nodes") or 1
    by_node = int(str(resources.get("gres") or "gpu:0").rpartition(":")[2])
    there = all(map(os.path.exists, outputs))
    state, reasons = DONE, []
    if workflow.dag.needrun(job):
        reason = workflow.dag.reason(job)
        reasons = _reasons(workflow, job, reason)
        unfinished = there and (reason._incomplete_output or workflow.async_run(workflow.persistence.incomplete(job)))
        state = UNFINISHED if unfinished else STALE if there else MISSING
    return Planned(
        job.rule.name,
        dict(job.wildcards_dict),
        outputs,
        str(job.benchmark) if job.benchmark else None,
        job.threads,
        nodes,
        by_node * nodes if by_node else resources.get("gpu") or 0,
        resources.get("mem_mb"),
        resources.get("runtime"),
        state,
        reasons,
    )


def _unmade(job: Planned) -> Planned:
    files = tuple(sorted(job.outputs))
    return replace(job, state=MISSING, reasons=[Reason(NOT_THERE, f"not made yet: {_few(files)}", files)])


def _reasons(workflow: Workflow, job, reason) -> list[Reason]:
    """Snakemake's own reasons, with what changed where its records say it."""
    found = []
    if missing := sorted(map(str, reason._missing_output or ())):
        found.append(Reason(NOT_THERE, f"not made yet: {_few(missing)}", tuple(missing)))
    if reason._incomplete_output:
        files = sorted(map(str, reason._incomplete_output))
        found.append(Reason("unfinished", f"a run ended while it was being made: {_few(files)}", tuple(files)))
    if changed := sorted(map(str, (reason._updated_input or set()) - (reason._updated_input_run or set()))):
        code = [file for file in changed if file.endswith(".py")]
        data = [file for file in changed if file not in code]
        found += [
            Reason(kind, f"{kind} changed: {_few(files)}", tuple(files))
            for kind, files in ((CODE, code), (INPUT, data))
            if files
        ]
    if reason.params_changed:
        found.append(Reason("settings", f"settings changed: {_few(changes(reason.params_changed))}"))
    if reason.input_changed:
        before = {str(file) for output in job.output for file in workflow.persistence.input(output) or ()}
        now = set(map(str, job.input))
        signed = [f"+ {file}" for file in sorted(now - before)] + [f"− {file}" for file in sorted(before - now)]
        found.append(Reason("set of inputs", f"it reads other files than then: {_few(signed)}", tuple(now ^ before)))
    if reason.code_changed:
        found.append(Reason("rule", f"the command in rule `{job.rule.name}` changed"))
    if reason.software_stack_changed:
        found.append(Reason("environment", "the software environment of the rule changed"))
    if reason.forced:
        found.append(Reason("forced", "asked for by --force or the like"))
    if follows := sorted(map(str, reason._updated_input_run or ())):
        found.append(Reason(FOLLOWS, f"after another job: {_few(follows)}", tuple(follows)))
    return found


def _few(texts: Sequence[str], most: int = 3) -> str:
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")


# --- settings then and now ---


def changes(changed) -> list[str]:
    """What differs between recorded and present params (Snakemake's `ParamsChange`), key by key where they are JSON."""
    before, now = (_documents(texts) for texts in (changed.only_old, changed.only_new))
    if not before or not now:
        texts = [f"− {text}" for text in map(_short, sorted(map(str, changed.only_old)))]
        return texts + [f"+ {text}" for text in map(_short, sorted(map(str, changed.only_new)))]
    return [line for old, new in zip(before, now, strict=False) for line in _differences(old, new)]


def _documents(texts) -> list:
    """Those of the params that are JSON objects; Snakemake records their representation in Python."""
    found = []
    for text in sorted(map(str, texts)):
        with contextlib.suppress(ValueError, SyntaxError):
            value = ast.literal_eval(text) if text[:1] in "'\"" else text
            document = json.loads(value)
            found += [document] if isinstance(document, dict) else []
    return found


def _differences(old: object, new: object, path: str = "") -> Iterator[str]:
    """`key: before → now` for every leaf that differs."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from _differences(old.get(key), new.get(key), f"{path}.{key}".lstrip("."))
    elif old != new:
        yield f"{path}: {_short(_plain(old))} → {_short(_plain(new))}"


def _plain(value: object) -> str:
    return "not set" if value is None else json.dumps(value, ensure_ascii=False)


def _short(text: str, most: int = 60) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def own_reasons(job: Planned) -> list[Reason]:
    """Why a job would run, apart from jobs before it."""
    return [reason for reason in job.reasons if reason.kind != FOLLOWS]


def stale(jobs: list[Planned]) -> list[Planned]:
    """Jobs whose results are there and would be made again."""
    return [job for job in jobs if job.state == STALE]


def relative(path: str) -> str:
    """A path as Snakemake knows it: relative to the working directory where it lies inside."""
    with contextlib.suppress(ValueError):
        return Path(path).resolve().relative_to(Path.cwd()).as_posix()
    return path
