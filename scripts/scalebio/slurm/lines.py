"""The `sbatch` line of every job of a study, from the executor plugin's own code and without submitting anything.

Snakemake itself reads profile and command line and builds the study's jobs. Then, in place of running them, each job is
given to the `run_job` of the executor plugin, in which only the call that would start `sbatch` is replaced by one that
writes the line down. So the lines cannot drift from what is used. Nothing of SLURM needs to be installed.
"""

import logging
import subprocess
import tempfile
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import snakemake_executor_plugin_slurm as plugin
from snakemake import cli
from snakemake.common.tbdstring import TBDString
from snakemake.workflow import Workflow

from scalebio.errors import UserError

# What differs from run to run is shown as zeros: the run's UUID and two temporary folders' names.
UUID = "00000000-0000-0000-0000-000000000000"
TEMPORARY = "tmp.00000000"


@dataclass
class Line:
    """What would be submitted for one job: the shell line, and the script on its standard input where there is one."""

    rule: str
    wildcards: dict[str, str]
    outputs: list[str]
    logs: list[str]
    benchmark: str | None
    call: str | None = None
    script: str | None = None
    notes: list[str] = field(default_factory=list)
    # Why the executor refuses the job; there is no line then.
    fault: str | None = None


@dataclass
class Study:
    """The lines in the order of the work, and the rules whose jobs run where Snakemake runs, with their number."""

    lines: list[Line]
    local: dict[str, int]


class _Folder(type(Path())):
    """The folder of SLURM's logs, which submitting would make and looking does not."""

    def mkdir(self, *more, **named) -> None:
        pass


class _Executor(plugin.Executor):
    """The plugin's executor without its threads and its tidying, and with a place to write down what it reports."""

    def __post_init__(self, test_mode: bool = False):
        super().__post_init__(test_mode)
        self._job_submission_executor.shutdown()
        prefix = self.workflow.executor_settings.jobname_prefix
        self.run_uuid = f"{prefix}_{UUID}" if prefix else UUID
        self.slurm_logdir = _Folder(self.slurm_logdir)
        # Without an account or a partition the plugin asks SLURM for one when it submits.
        self._fallback_account_arg = self._fallback_partition = ""
        self.fault = None

    def _wait_thread(self):
        pass

    def clean_old_logs(self):
        pass

    def _report_job_submission_threadsafe(self, job_info):
        pass

    def _report_job_error_threadsafe(self, job_info, msg):
        self.fault = msg


class _Recorder(logging.Handler):
    """Keeps the plugin's warnings about one job."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


class _Shell:
    """Stands in for the plugin's `subprocess`: writes down what would be started, and answers as sbatch does."""

    PIPE = subprocess.PIPE
    CalledProcessError = subprocess.CalledProcessError

    def __init__(self):
        self.call = self.script = None

    def Popen(self, call: str, **options) -> SimpleNamespace:
        self.call = call

        def communicate(input=None):
            self.script = input
            return "1", ""

        return SimpleNamespace(returncode=0, communicate=communicate)


def collect(arguments: list[str], needed: bool = False, attempt: int = 1) -> Study:
    """The lines for a command line of Snakemake, without the word `snakemake`.

    All jobs of its targets, or those that are `needed` now; as they are at this `attempt`, since memory and time may grow
    with it. Raises UserError where Snakemake refuses (it has said why on standard error), or for what has no line a job.
    """
    if attempt < 1:
        raise UserError(f"attempt {attempt}: expected 1 (the first) or more.")
    found: list[Study | UserError] = []

    def record(workflow: Workflow, executor_plugin, executor_settings, **others) -> None:
        workflow._executor_plugin, workflow.executor_settings = executor_plugin, executor_settings
        try:
            _check(executor_plugin, executor_settings)
            workflow._prepare_dag(forceall=not needed, ignore_incomplete=not needed, lock_warn_only=True, nolock=True)
            workflow._build_dag()
            workflow.async_run(workflow.dag.postprocess(update_needrun=False))
            found.append(_lines(workflow, attempt))
        except UserError as error:
            found.append(error)

    parser, parsed = cli.parse_args([*arguments, "--quiet", "host", "progress", "rules", "reason"])
    with patch.multiple(Workflow, execute=record), warnings.catch_warnings():
        # Snakemake asks for the sizes of inputs, and drops the question where they do not exist yet.
        warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
        cli.args_to_api(parsed, parser)
    if not found:
        raise UserError("Snakemake refused this command line or study; its message stands above.")
    if isinstance(found[0], UserError):
        raise found[0]
    return found[0]


def _check(executor_plugin, settings) -> None:
    if executor_plugin.name != "slurm":
        raise UserError(
            f"these arguments choose the executor `{executor_plugin.name}`, which submits nothing to SLURM. "
            "Leave --executor out, and give a profile with `executor: slurm` (default: --profile slurm)."
        )
    if settings.array_jobs:
        raise UserError("slurm-array-jobs puts several jobs into one line, chosen while it runs. Leave it out.")


def _lines(workflow: Workflow, attempt: int) -> Study:
    """Every needed job of the DAG through the executor."""
    dag = workflow.dag
    order = {job: level for level, jobs in enumerate(dag.toposorted()) for job in jobs}
    jobs = sorted(dag.needrun_jobs(), key=lambda job: (order[job], job.rule.name, *job.wildcards_dict.values()))
    study = Study([], {})
    shell, recorder = _Shell(), _Recorder()
    logger = logging.Logger("sbatch_lines", logging.WARNING)
    logger.addHandler(recorder)
    executor = _Executor(workflow, logger)
    # For jobs of many inputs the executor writes their names into a file there.
    with (
        tempfile.TemporaryDirectory(prefix="tmp.", dir=".snakemake") as folder,
        patch.multiple(plugin, subprocess=shell, validate_account=lambda account, logger: account),
    ):
        executor._tmpdir = folder
        temporary = {Path(folder).name: TEMPORARY, Path(workflow.sourcecache.runtime_cache_path).name: TEMPORARY}
        for job in jobs:
            if job.is_local:
                study.local[job.rule.name] = study.local.get(job.rule.name, 0) + 1
                continue
            if job.group:
                raise UserError(
                    f"rule {job.rule.name} is in a group, and groups have no line a job. Leave --groups out."
                )
            job.attempt = attempt
            shell.call = shell.script = executor.fault = None
            recorder.messages.clear()
            executor.run_job(job)
            files = {"outputs": [*map(str, job.output)], "logs": [*map(str, job.log)]}
            benchmark = str(job.benchmark) if job.benchmark else None
            line = Line(job.rule.name, dict(job.wildcards_dict), **files, benchmark=benchmark)
            if executor.fault:
                line.fault = executor.fault
            else:
                line.call, line.script = _stable(shell.call, temporary), _stable(shell.script, temporary)
                line.notes = [*_left_open(job, executor, shell.call), *recorder.messages]
            study.lines.append(line)
    return study


def _stable(text: str | None, temporary: dict[str, str]) -> str | None:
    for name, shown in temporary.items():
        text = text and text.replace(name, shown)
    return text


def _left_open(job, executor: _Executor, call: str) -> list[str]:
    """What the line leaves open until the moment of submitting."""
    notes = []
    if not job.resources.get("slurm_account"):
        notes.append("no account is given: the plugin adds -A with the last one that sacct knows for you, if any")
    if not job.resources.get("slurm_partition") and not executor._partitions:
        notes.append("no partition is given: the plugin adds -p with the default one that sinfo names, if any")
    if str(TBDString()) in call:
        notes.append(f"{TBDString()} follows from the size of inputs that do not exist yet")
    return notes
