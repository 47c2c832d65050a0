# What all rules share: the validated study, the paths of its results, and how a job is started.
# Imports nothing heavy: this file runs at each start and again inside each cluster job.

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir) / "scripts"))

from scalebio.dependencies import code_files
from scalebio.errors import UserError
from scalebio.study import check_files, load_study

try:
    check_files(workflow.configfiles)
    STUDY = load_study(config)
except UserError as error:
    raise WorkflowError(str(error)) from None

RESULTS = f"results/{STUDY.study}"
LOGS = f"logs/{STUDY.study}"
BENCHMARKS = f"{RESULTS}/benchmarks"
RUN = "{experiment}/{model}/{method}/seed{seed}"


wildcard_constraints:
    experiment="|".join(STUDY.run),
    model="|".join(STUDY.models),
    method="|".join(STUDY.methods),
    source="|".join(STUDY.sources),
    seed=r"\d+",


def code(script):
    """The entry point and every library file it imports: inputs, so that jobs depend on their content."""
    return [f"scripts/{file.relative_to(Path(workflow.basedir) / 'scripts')}" for file in _closure(script)]


def _closure(script):
    path = Path(workflow.basedir) / "scripts" / script
    if not path.is_file():
        raise WorkflowError(f"entry point {path} is missing")
    return code_files(path)


def launcher(wildcards, resources):
    """How a job is started. Takes `resources` so that it never counts as a change of the job."""
    # Inside a conda environment `python` is that environment's; otherwise it is the one that runs Snakemake.
    return "python" if workflow.deployment_settings.deployment_method else sys.executable


def as_json(**settings):
    """The config slice that one job depends on, as the text of its `--settings`; a change re-runs just those jobs."""

    def plain(value):
        return value.model_dump(mode="json", exclude_none=True) if hasattr(value, "model_dump") else value

    return json.dumps({key: plain(value) for key, value in settings.items()}, sort_keys=True, ensure_ascii=False)


def experiment_of(wildcards):
    return STUDY.experiments[wildcards.experiment]


def model_of(wildcards):
    return STUDY.models[experiment_of(wildcards).model]


def base_model(wildcards):
    """The model that every method of an experiment starts from: fetched, or warmed up on the experiment's own pool."""
    if model_of(wildcards).warm_up:
        return f"{RESULTS}/{wildcards.experiment}/{wildcards.model}/base/provenance.json"
    return f"{RESULTS}/models/{wildcards.model}/provenance.json"


def memory_mb(wildcards, attempt):
    """Memory of a job that holds models; doubled at each retry."""
    return (2000 if model_of(wildcards).scratch else 8000) * 2 ** (attempt - 1)


def runs(*experiments, evaluation=None):
    """Identity of every run of the given (default: all) experiments, in a fixed order."""
    return [
        {"experiment": name, "model": STUDY.experiments[name].model, "method": method, "seed": seed}
        for name in experiments or STUDY.run
        if evaluation is None or evaluation in STUDY.experiments[name].evaluate
        for method in STUDY.experiments[name].methods
        for seed in STUDY.experiments[name].seeds
    ]


def run_path(run, file):
    """Path of one result file of one run."""
    return f"{RESULTS}/{run['experiment']}/{run['model']}/{run['method']}/seed{run['seed']}/{file}"


def run_files(file, evaluation=None):
    """That result file of every run."""
    return [run_path(run, file) for run in runs(evaluation=evaluation)]


def experiments_with(evaluation):
    return [name for name in STUDY.run if evaluation in STUDY.experiments[name].evaluate]
