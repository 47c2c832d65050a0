# What all rules share: the validated study, the paths of its results, and how a job is started.
# Imports nothing heavy: this file runs at each start and again inside each cluster job.

import json
import re
import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir) / "scripts"))

from scalebio.config import Model
from scalebio.config_methods import Fixed
from scalebio.dependencies import code_files
from scalebio.errors import UserError
from scalebio.known_shapes import KNOWN
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


def verdict_file(gate, experiment):
    """What a gate found in an experiment."""
    return f"{RESULTS}/gates/{gate}/{experiment}.json"


def passed_file(gate, experiment):
    """The mark that an experiment passed a fatal gate."""
    return f"{RESULTS}/gates/{gate}/{experiment}.passed"


def passed(gate, *experiments):
    """The marks that what depends on a gate waits for: none where it is only reported.

    Not always, and then `ancient`: Snakemake 9.27 does not look whether a job behind an ancient input has changed itself, if the
    job that makes that input is to run.
    """
    return [passed_file(gate, name) for name in experiments] if getattr(STUDY.gates, gate) == "fatal" else []


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


def benchmark_questions(wildcards):
    """The questions of the benchmarks that an experiment's models are asked, by benchmark."""
    asked = {
        "mtbench": f"{RESULTS}/{wildcards.experiment}/mtbench/questions.jsonl",
        "math": (
            [f"{RESULTS}/downloads/math/{name}.jsonl" for name in STUDY.evaluations.math.benchmarks.named]
            if STUDY.evaluations.math
            else []
        ),
    }
    return {name: files for name, files in asked.items() if name in experiment_of(wildcards).evaluate}


def sources_of(experiment):
    """Names of all sources that an experiment touches: training, validation and test."""
    experiment = STUDY.experiments[experiment]
    return list(dict.fromkeys([*experiment.sources, *STUDY.references[experiment.reference].sources]))


def pool_sources(wildcards):
    """The same for a rule's job."""
    return sources_of(wildcards.experiment)


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


def starting_weights(wildcards):
    """The weights.json that a run starts learning from: that of its method and seed in another experiment, or a given file."""
    origin = experiment_of(wildcards).start_from
    if not origin or wildcards.method not in LEARNS:
        return []
    if origin.endswith(".json"):
        return origin
    model = STUDY.experiments[origin].model
    return run_path(
        {"experiment": origin, "model": model, "method": wildcards.method, "seed": wildcards.seed}, "weights.json"
    )


def source_settings(wildcards):
    """What one source's rows depend on: not `max_repeat`, which only mixtures heed, `whole_rows`, which a table shows, nor a folder it does not read."""
    source = STUDY.sources[wildcards.source]
    return as_json(
        name=wildcards.source,
        source=source.model_dump(mode="json", exclude_none=True, exclude={"max_repeat", "whole_rows"}),
        # Also without `local`: the job then stops instead of going to the hub.
        offline_data=STUDY.offline_data if source.hub else None,
    )


def planted_truth(wildcards):
    """The setting `expected`, for the oracle alone, so that no other job depends on it."""
    oracle = STUDY.methods[wildcards.method].kind == "oracle"
    return {"expected": experiment_of(wildcards).expected} if oracle else {}


def shape_file(wildcards):
    """The fetched model whose shape is read; nothing where the shape is known without it."""
    model = STUDY.models[wildcards.model]
    known = model.scratch or (model.hub and model.hub.id in KNOWN)
    return [] if known else f"{RESULTS}/models/{wildcards.model}/provenance.json"


def predicted_settings(wildcards):
    """What the memory of a model depends on: of what it runs on, only how many processes it is split over."""
    model, hardware = STUDY.models[wildcards.model], STUDY.models[wildcards.model].hardware
    processes = hardware.nodes * hardware.processes
    train = STUDY.finetuning.train
    return as_json(name=wildcards.model, model=model, processes=processes, shard=hardware.shard, train=train)


def bootstrapped(wildcards):
    """The setting `validation_bootstrap` where it is set, and only for methods that learn, so that no other job depends on it."""
    wanted = experiment_of(wildcards).validation_bootstrap and wildcards.method in LEARNS
    return {"validation_bootstrap": True} if wanted else {}
