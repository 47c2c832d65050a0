# What all rules share: the validated study, the paths of its results, and how a job is started.
# Imports nothing heavy: this file runs at each start and again inside each cluster job.

import json
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir) / "scripts"))

from scalebio.config import Model
from scalebio.config_methods import Fixed
from scalebio.dependencies import code_files
from scalebio.errors import UserError
from scalebio.study import check_files, load_study


class StudyError(WorkflowError):
    """A fault in the study file, shown without a traceback: the place to look at is not in these rules."""

    # Shadows the attribute that Snakemake's message takes file and line from.
    __traceback__ = None


try:
    check_files(workflow.configfiles)
    STUDY = load_study(config)
except UserError as error:
    raise StudyError(str(error)) from None

RESULTS = f"results/{STUDY.study}"
LOGS = f"logs/{STUDY.study}"
BENCHMARKS = f"{RESULTS}/benchmarks"
RUN = "{experiment}/{model}/{method}/seed{seed}"
LEARNS = {name for name, method in STUDY.methods.items() if not isinstance(method, Fixed)}
# Experiments that take their weights from another one, and from which.
TRANSFERS = {name: STUDY.experiments[name].weights_from for name in STUDY.run if STUDY.experiments[name].weights_from}


def one_of(names):
    """A regular expression that matches exactly the given names, and nothing at all where there is none."""
    return "|".join(map(re.escape, sorted(names))) or "(?!)"


wildcard_constraints:
    experiment=one_of(STUDY.run),
    model=one_of(STUDY.models),
    method=one_of(STUDY.methods),
    source=one_of(STUDY.sources),
    seed=r"\d+",


def code(script):
    """The entry point and every library file it imports: inputs, so that jobs depend on their content."""
    return [f"scripts/{file.relative_to(Path(workflow.basedir) / 'scripts')}" for file in _closure(script)]


def _closure(script):
    path = Path(workflow.basedir) / "scripts" / script
    if not path.is_file():
        raise WorkflowError(f"entry point {path} is missing")
    return code_files(path)


def as_json(**settings):
    """The config slice that one job depends on, as the text of its `--settings`; a change re-runs just those jobs."""

    def plain(value):
        if isinstance(value, list):
            return [plain(item) for item in value]
        # What a model runs on is no part of what it is.
        hidden = {"hardware"} if isinstance(value, Model) else None
        return (
            value.model_dump(mode="json", exclude_none=True, exclude=hidden) if hasattr(value, "model_dump") else value
        )

    return json.dumps({key: plain(value) for key, value in settings.items()}, sort_keys=True, ensure_ascii=False)


def experiment_of(wildcards):
    return STUDY.experiments[wildcards.experiment]


def model_of(wildcards):
    return STUDY.models[experiment_of(wildcards).model]


def base_of(experiment):
    """The model that every method of an experiment starts from: fetched, or warmed up on the experiment's own pool."""
    model = STUDY.experiments[experiment].model
    if STUDY.models[model].warm_up:
        return f"{RESULTS}/{experiment}/{model}/base/provenance.json"
    return f"{RESULTS}/models/{model}/provenance.json"


def base_model(wildcards):
    """The same for a rule's job."""
    return base_of(wildcards.experiment)


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


def experiments_with(evaluation):
    return [name for name in STUDY.run if evaluation in STUDY.experiments[name].evaluate]


def corruption(experiment):
    """Planted corruption rate of each spoiled source of an experiment; None where nothing is spoiled."""
    spoiled = {name: STUDY.sources[name].corrupt for name in STUDY.experiments[experiment].sources}
    return {name: corrupt.rate for name, corrupt in spoiled.items() if corrupt} or None


# --- inputs of single rules ---


def source_file(wildcards):
    """The local file behind a source, if it has one, so that a change of its content is seen."""
    return local_file(STUDY.sources[wildcards.source])


def math_file(wildcards):
    """The same for the questions of a benchmark."""
    return local_file(STUDY.evaluations.math.benchmarks.named[wildcards.benchmark])


def local_file(entry):
    """The file that an entry with `file`, or `hub` and `local`, is read from; none if that is the hub."""
    if entry.file:
        return entry.file
    if STUDY.offline_data and entry.local:
        return f"{STUDY.offline_data}/{entry.local}"
    return []


def pool_sources(wildcards):
    """Names of all sources that an experiment touches: training, validation and test."""
    experiment = experiment_of(wildcards)
    reference = STUDY.references[experiment.reference]
    return list(dict.fromkeys([*experiment.sources, *reference.validation, *(reference.test or {})]))


def appended_validation(wildcards):
    """The validation rows, where the study adds them to every mixture."""
    return f"{RESULTS}/{wildcards.experiment}/pool/validation.parquet" if STUDY.finetuning.append_validation else []


def warm_up_start(wildcards):
    """What warm-up starts from: nothing for a model from scratch, else the fetched model."""
    return [] if model_of(wildcards).scratch else f"{RESULTS}/models/{wildcards.model}/provenance.json"


def model_files(wildcards):
    """The files of a model that lie here, its folder and its chat template, so that a change of their content is seen."""
    model = STUDY.models[wildcards.model]
    files = sorted(str(file) for file in Path(model.path).iterdir() if file.is_file()) if model.path else []
    return files + ([model.chat_template] if model.chat_template else [])


def learned_by(wildcards):
    """The run that a run takes its weights from: of another experiment, by the same method and seed."""
    name = TRANSFERS[wildcards.experiment]
    model = STUDY.experiments[name].model
    return {"experiment": name, "model": model, "method": wildcards.method, "seed": wildcards.seed}


def source_settings(wildcards):
    """What one source's rows depend on: not `max_repeat`, which only mixtures heed, nor a folder it does not read."""
    source = STUDY.sources[wildcards.source]
    return as_json(
        name=wildcards.source,
        source=source.model_dump(mode="json", exclude_none=True, exclude={"max_repeat"}),
        # Also without `local`: the job then stops instead of going to the hub.
        offline_data=STUDY.offline_data if source.hub else None,
    )


def planted_truth(wildcards):
    """The setting `expected`, for the oracle alone, so that no other job depends on it."""
    oracle = STUDY.methods[wildcards.method].kind == "oracle"
    return {"expected": experiment_of(wildcards).expected} if oracle else {}
