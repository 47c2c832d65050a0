# catalogue: which tables the study has, and what each is made from. No rules here.

from scalebio.varied import variations


def roles():
    """What each source of the study is read for: {source: {"experiments": [...], "roles": [...], and what the study knows of it}}."""
    found = {}
    for experiment in STUDY.run:
        reference = STUDY.references[STUDY.experiments[experiment].reference]
        read = {
            "train": STUDY.experiments[experiment].sources,
            "validation": reference.validation,
            "test": reference.test or reference.validation,
        }
        for role, sources in read.items():
            for source in sources:
                facts = found.setdefault(source, {"experiments": [], "roles": []})
                for key, entry in (("experiments", experiment), ("roles", role)):
                    facts[key] += [entry] * (entry not in facts[key])
    for source, facts in found.items():
        hub = STUDY.sources[source].hub
        facts |= {"gated": hub and hub.gated, "asked_revision": hub and hub.revision}
        facts["whole_rows"] = STUDY.sources[source].whole_rows
    return found


def models_in_use():
    """The models of the experiments that are run, each once."""
    return list(dict.fromkeys(STUDY.experiments[name].model for name in STUDY.run))


RUN_FILES = {
    "trajectories": {"trajectory": "trajectory.parquet", "weights": "weights.json"},
    "weights": {"weights": "weights.json"},
    "peak_memory": {"trajectory": "trajectory.parquet"},
    "weight_intervals": {"weights": "weights.json"},
    "mixtures": {"mixture": "mixture.json"},
    "test_loss": {"metrics": "metrics.json"},
    "training_curves": {"training": "training.parquet", "trajectory": "trajectory.parquet"},
    "math": {"math": "math/scores.csv"},
    "transfer": {"weights": "weights.json", "metrics": "metrics.json"},
    "method_comparison": {"weights": "weights.json", "metrics": "metrics.json", "mixture": "mixture.json"},
    "ablations": {"weights": "weights.json", "metrics": "metrics.json"},
    "hyperparameters": {"weights": "weights.json", "finetuned": "model/provenance.json"},
    "training_costs": {
        "weights": "weights.json",
        "finetuned": "model/provenance.json",
        "mixture": "mixture.json",
        "trajectory": "trajectory.parquet",
    },
}
# Of which stages of a run a table reads what Snakemake measured.
BENCHMARK_FILES = {"training_costs": {"learning": "learn_weights", "tuning": "finetune"}}
# One file an experiment, all its models in it.
JUDGED_FILES = {
    "mtbench": {"scores": "mtbench/scores.csv"},
    "mtbench_differences": {"differences": "mtbench/differences.csv"},
    "mtbench_repeats": {"judgments": "mtbench/judgments.jsonl"},
    "math_differences": {"math_differences": "math/differences.csv"},
}
# Files of the whole study.
STUDY_FILES = {
    "sources": [f"{RESULTS}/sources/{name}.json" for name in roles()],
    "memory": [f"{RESULTS}/memory/{name}.json" for name in models_in_use()],
    "gates": VERDICTS,
}
ABOUT_TABLES = {
    "trajectories": "Weight of every source over the steps of reweighting",
    "weights": "Learned weights beside the planted truth",
    "weight_intervals": "How sure the weights are: intervals, whether they differ from equal ones, and by how many rows",
    "mixtures": "Asked against realised shares of the fine-tuning mixture, in rows and tokens",
    "test_loss": "Test loss and accuracy by method, with the difference to uniform",
    "training_curves": "Losses over the steps of reweighting and fine-tuning",
    "math": "Accuracy on GSM8K and MATH, by subject and level, with intervals and what could not be compared",
    "math_differences": "Paired differences to the baseline on GSM8K and MATH, with exact tests and verdicts",
    "mtbench": "Scores by category and turn, with the judge named",
    "mtbench_differences": "Paired differences to the baseline by category, with verdicts and the judge's noise",
    "mtbench_repeats": "Scores after each repeat of the judge, with what the judge alone adds",
    "transfer": "How much weights of different models agree, and the regret of transferred ones",
    "method_comparison": "What each method gains, how near it comes to the planted truth, and what it costs",
    "ablations": "What one setting changes, all others as they are: weights and test loss",
    "hyperparameters": "The settings that every experiment and method was run with",
    "training_costs": "Time, memory and tokens of finding weights and of fine-tuning, by model and method",
    "sources": "Every source with its role, origin, licence and numbers of rows",
    "memory": "Predicted memory of each model by what trains: everything, LISA's layers, adapters",
    "costs": "Time and memory by stage, as measured",
    "peak_memory": "Largest memory while weights were learned, run by run, as measured",
    "gates": "Verdict of every gate of the study, and what it found",
}
# Tables of what models were measured by, which wait until each model was asked as it was trained.
MEASURED = {"test_loss", "transfer", "method_comparison", "math", *JUDGED_FILES}


def learning(*experiments):
    """Whether any method of the given (default: all) experiments learns weights, so that there are steps to show."""
    return any(
        LEARNS & set(STUDY.experiments[name].methods) for name in experiments or STUDY.run if name not in TRANSFERS
    )


def alike(one, other):
    """Whether two experiments have the same sources and reference, so that their weights can be compared."""
    one, other = (STUDY.experiments[name] for name in (one, other))
    return set(one.sources) == set(other.sources) and one.reference == other.reference


def transfer_pairs():
    """Pairs of models whose weights the table of transfer compares: both learned, or the one's used for the other."""

    def pair(learner, model, own, transferred):
        shared = LEARNS & set(STUDY.experiments[own or transferred].methods)
        return {
            "from": learner,
            "model": STUDY.experiments[learner].model,
            "for_model": model,
            "methods": [name for name in STUDY.experiments[learner].methods if name in shared],
            "own": own,
            "transferred": transferred,
        }

    learners = [name for name in STUDY.run if learning(name)]
    taken = {
        (TRANSFERS[name], STUDY.experiments[name].model): name for name in TRANSFERS if alike(name, TRANSFERS[name])
    }
    pairs = []
    for place, one in enumerate(learners):
        for other in learners:
            model = STUDY.experiments[other].model
            if alike(one, other) and model != STUDY.experiments[one].model:
                transferred = taken.pop((one, model), None)
                # Agreement is the same in both directions, so the second is listed only where it has a regret.
                if transferred or learners.index(other) > place:
                    pairs.append(pair(one, model, other, transferred))
    pairs += [
        pair(one, model, None, name) for (one, model), name in taken.items() if model != STUDY.experiments[one].model
    ]
    return [found for found in pairs if found["methods"]]


JUDGED = experiments_with("mtbench")
JUDGED_AGAIN = JUDGED and STUDY.evaluations.mtbench.judge.repeats > 1
COMPARED = [name for name in STUDY.run if len(STUDY.experiments[name].methods) > 1]
SOLVING = experiments_with("math")
SOLVING_COMPARED = [name for name in SOLVING if name in COMPARED]
PAIRS = transfer_pairs()
VARIATIONS = variations(STUDY)
MADE = {
    "trajectories": learning(),
    "peak_memory": learning(),
    "mtbench": JUDGED,
    "mtbench_differences": JUDGED,
    "mtbench_repeats": JUDGED_AGAIN,
}
MADE |= {
    "ablations": VARIATIONS,
    "math": SOLVING,
    "math_differences": SOLVING_COMPARED,
    "transfer": PAIRS,
    "method_comparison": COMPARED,
}
UNMADE = {name for name, made in MADE.items() if not made}
TABLES = {name: f"{RESULTS}/tables/{name}.csv" for name in ABOUT_TABLES if name not in UNMADE}


def table_runs(name):
    """Every run that the table covers, with the files it reads."""
    covered = runs(evaluation="math" if name == "math" else None)
    if name == "method_comparison":
        covered = runs(*COMPARED)
    if name == "ablations":
        varied = {(one["run"]["experiment"], one["run"]["method"]) for one in VARIATIONS}
        varied |= {(one["experiment"], one["method"]) for one in VARIATIONS}
        covered = [run for run in covered if (run["experiment"], run["method"]) in varied]
    if name == "transfer":
        compared = {
            (pair[key], method)
            for pair in PAIRS
            for key in ("from", "own", "transferred")
            for method in pair["methods"]
        }
        covered = [run for run in covered if (run["experiment"], run["method"]) in compared]
    benchmarks = BENCHMARK_FILES.get(name, {})
    return [
        {
            **run,
            **{key: run_path(run, file) for key, file in RUN_FILES[name].items()},
            **{key: benchmark_of(stage, run) for key, stage in benchmarks.items() if measured(stage, run)},
        }
        for run in covered
    ]


def benchmark_of(stage, run):
    """What Snakemake measured of one stage of a run."""
    return f"{BENCHMARKS}/{stage}/{run['experiment']}/{run['model']}/{run['method']}/seed{run['seed']}.tsv"


def measured(stage, run):
    """Whether a run has that stage: one that takes another's weights learns none."""
    return stage != "learn_weights" or run["experiment"] not in TRANSFERS


def model_id(run):
    """How the model of a run is called in answers, judgments and scores."""
    return f"{run['experiment']}-{run['model']}-{run['method']}-seed{run['seed']}"


def judged_runs(experiment):
    """Every judged model of an experiment, and which method and seed it stands for."""
    return [{"model_id": model_id(run), "method": run["method"], "seed": run["seed"]} for run in runs(experiment)]


def baseline(experiment):
    """The method that the others are compared with: the first that is uniform, else the first there is."""
    methods = STUDY.experiments[experiment].methods
    return next((name for name in methods if STUDY.methods[name].kind == "uniform"), methods[0])


def oracle(experiment):
    """The method that takes the planted shares, if the experiment has it."""
    methods = STUDY.experiments[experiment].methods
    return next((name for name in methods if STUDY.methods[name].kind == "oracle"), None)


def interval_facts(experiment):
    """What intervals of an experiment's weights depend on: rows of its mixtures, and what seeds vary where it learned them."""
    learner = STUDY.experiments[TRANSFERS.get(experiment, experiment)]
    rows = STUDY.experiments[experiment].mixture_rows or STUDY.finetuning.rows
    return {"rows": rows, "validation_bootstrap": learner.validation_bootstrap}


def table_experiments(name):
    """Every experiment that a table of JUDGED_FILES covers."""
    return SOLVING_COMPARED if name == "math_differences" else JUDGED


def table_files(name):
    """Every file that the table reads."""
    if name in STUDY_FILES:
        return STUDY_FILES[name]
    if name in JUDGED_FILES:
        files = JUDGED_FILES[name].values()
        return [f"{RESULTS}/{experiment}/{file}" for experiment in table_experiments(name) for file in files]
    keys = [*RUN_FILES[name], *BENCHMARK_FILES.get(name, {})]
    return [run[key] for run in table_runs(name) for key in keys if key in run]


def table_settings(name):
    """The `--settings` of one table; only the weights stand beside what was planted."""
    if name == "sources":
        # Settings are sorted by key, so the order of the study goes as a list.
        return as_json(sources=roles(), order=list(roles()), manifests=dict(zip(roles(), STUDY_FILES[name])))
    if name == "memory":
        return as_json(predictions=STUDY_FILES[name])
    if name == "gates":
        return as_json(verdicts=VERDICTS, fatal=FATAL)
    if name in JUDGED_FILES:
        facts = {
            experiment: {
                "runs": judged_runs(experiment),
                **{key: f"{RESULTS}/{experiment}/{file}" for key, file in JUDGED_FILES[name].items()},
            }
            for experiment in table_experiments(name)
        }
        return as_json(experiments=facts)
    if name == "transfer":
        return as_json(runs=table_runs(name), pairs=PAIRS)
    if name == "ablations":
        expected = {one: {"expected": STUDY.experiments[one].expected} for one in STUDY.run}
        return as_json(runs=table_runs(name), variations=VARIATIONS, experiments=expected)
    if name in ("hyperparameters", "training_costs"):
        models = {one: {"model": STUDY.experiments[one].model} for one in STUDY.run}
        epochs = {"epochs": STUDY.finetuning.epochs} if name == "training_costs" else {}
        return as_json(runs=table_runs(name), experiments=models, **epochs)
    if name == "method_comparison":
        facts = {
            experiment: {
                "expected": STUDY.experiments[experiment].expected,
                "baseline": baseline(experiment),
                "oracle": oracle(experiment),
            }
            for experiment in COMPARED
        }
        return as_json(runs=table_runs(name), experiments=facts, epochs=STUDY.finetuning.epochs)
    if name not in ("weights", "weight_intervals"):
        return as_json(runs=table_runs(name))
    planted = {
        experiment: {
            "sources": STUDY.experiments[experiment].sources,
            "expected": STUDY.experiments[experiment].expected,
            "corruption": corruption(experiment),
            "leakage": STUDY.experiments[experiment].leakage,
            **interval_facts(experiment),
        }
        for experiment in STUDY.run
    }
    return as_json(runs=table_runs(name), experiments=planted)


def benchmark_files():
    """Benchmark files of every job that costs time, with the stage each belongs to."""
    stages = {"learn_weights": None, "draw_mixture": None, "finetune": None, "evaluate": None}
    stages |= {"answer_math": "math", "score_math": "math", "mtbench_answers": "mtbench"}
    judgments = [
        {"stage": "mtbench_judgments", "path": f"{BENCHMARKS}/mtbench_judgments/{name}.tsv"} for name in JUDGED
    ]
    warm = [
        {"stage": "warm_up", "path": f"{BENCHMARKS}/warm_up/{name}/{STUDY.experiments[name].model}.tsv"}
        for name in STUDY.run
        if STUDY.models[STUDY.experiments[name].model].warm_up
    ]
    each = [
        {
            "stage": f"{stage} {run['method']}" if stage == "learn_weights" else stage,
            "path": benchmark_of(stage, run),
        }
        for stage, evaluation in stages.items()
        for run in runs(evaluation=evaluation)
        if measured(stage, run)
    ]
    return warm + each + judgments
