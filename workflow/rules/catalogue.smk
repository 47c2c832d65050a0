# catalogue: which tables and figures the study has, and what each is made from. No rules here.

RUN_FILES = {
    "trajectories": {"trajectory": "trajectory.parquet", "weights": "weights.json"},
    "weights": {"weights": "weights.json"},
    "mixtures": {"mixture": "mixture.json"},
    "test_loss": {"metrics": "metrics.json"},
    "training_curves": {"training": "training.parquet", "trajectory": "trajectory.parquet"},
    "math": {"math": "math/scores.csv"},
    "transfer": {"weights": "weights.json", "metrics": "metrics.json"},
    "method_comparison": {"weights": "weights.json", "metrics": "metrics.json", "mixture": "mixture.json"},
}
# One file an experiment, all its models in it.
JUDGED_FILES = {
    "mtbench": {"scores": "mtbench/scores.csv"},
    "mtbench_differences": {"differences": "mtbench/differences.csv"},
    "mtbench_repeats": {"judgments": "mtbench/judgments.jsonl"},
    "math_differences": {"math_differences": "math/differences.csv"},
}
ABOUT_TABLES = {
    "trajectories": "Weight of every source over the steps of reweighting",
    "weights": "Learned weights beside the planted truth",
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
    "costs": "Time and memory by stage, as measured",
}


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
MADE = {"trajectories": learning(), "mtbench": JUDGED, "mtbench_differences": JUDGED, "mtbench_repeats": JUDGED_AGAIN}
MADE |= {"math": SOLVING, "math_differences": SOLVING_COMPARED, "transfer": PAIRS, "method_comparison": COMPARED}
UNMADE = {name for name, made in MADE.items() if not made}
TABLES = {name: f"{RESULTS}/tables/{name}.csv" for name in ABOUT_TABLES if name not in UNMADE}


def table_runs(name):
    """Every run that the table covers, with the files it reads."""
    covered = runs(evaluation="math" if name == "math" else None)
    if name == "method_comparison":
        covered = runs(*COMPARED)
    if name == "transfer":
        compared = {
            (pair[key], method)
            for pair in PAIRS
            for key in ("from", "own", "transferred")
            for method in pair["methods"]
        }
        covered = [run for run in covered if (run["experiment"], run["method"]) in compared]
    return [{**run, **{key: run_path(run, file) for key, file in RUN_FILES[name].items()}} for run in covered]


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


def table_experiments(name):
    """Every experiment that a table of JUDGED_FILES covers."""
    return SOLVING_COMPARED if name == "math_differences" else JUDGED


def table_files(name):
    """Every file that the table reads."""
    if name in JUDGED_FILES:
        files = JUDGED_FILES[name].values()
        return [f"{RESULTS}/{experiment}/{file}" for experiment in table_experiments(name) for file in files]
    return [run[key] for run in table_runs(name) for key in RUN_FILES[name]]


def table_settings(name):
    """The `--settings` of one table; only the weights stand beside what was planted."""
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
    if name != "weights":
        return as_json(runs=table_runs(name))
    planted = {
        experiment: {
            "sources": STUDY.experiments[experiment].sources,
            "expected": STUDY.experiments[experiment].expected,
            "corruption": corruption(experiment),
            "leakage": STUDY.experiments[experiment].leakage,
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
            "path": f"{BENCHMARKS}/{stage}/{run['experiment']}/{run['model']}/{run['method']}/seed{run['seed']}.tsv",
        }
        for stage, evaluation in stages.items()
        for run in runs(evaluation=evaluation)
        if stage != "learn_weights" or run["experiment"] not in TRANSFERS
    ]
    return warm + each + judgments


def planted_in(experiment):
    """Whether a truth was planted that final weights can be held against."""
    return bool(STUDY.experiments[experiment].expected or corruption(experiment))


def figure_list():
    """Every figure of the study: name → what draws it, from which table, for which experiment, and what it shows.

    `caption` names the caption where it is not that of what draws it.
    """
    figures = {}
    for experiment in STUDY.run:
        if learning(experiment):
            figures[f"{experiment}_weights"] = {
                "draw": "weights",
                "table": "trajectories",
                "experiment": experiment,
                "about": "Weights over the steps of reweighting",
            }
            figures[f"{experiment}_final_weights"] = {
                "draw": "final_weights",
                "table": "weights",
                "experiment": experiment,
                "about": "Final weights" + " against the planted truth" * planted_in(experiment),
            }
    figures["test_loss"] = {"draw": "test_loss", "table": "test_loss", "about": "Test loss by method"}
    figures["training_curves"] = {
        "draw": "training_curves",
        "table": "training_curves",
        "stage": "finetuning",
        "about": "Training and validation loss over the steps of fine-tuning",
    }
    if any(STUDY.methods[run["method"]].kind == "scalebio" for run in runs()):
        figures["reweighting_curves"] = {
            "draw": "training_curves",
            "caption": "reweighting_curves",
            "table": "training_curves",
            "stage": "reweighting",
            "about": "L1, L2(w) and L2(u) over the steps of reweighting",
        }
    figures["mixtures"] = {"draw": "mixtures", "table": "mixtures", "about": "Asked against realised shares"}
    if COMPARED:
        figures["method_comparison"] = {
            "draw": "method_comparison",
            "table": "method_comparison",
            "about": "Gain, distance from the planted truth and cost of every method",
        }
    if SOLVING:
        figures["math"] = {"draw": "math", "table": "math", "about": "Accuracy on GSM8K and MATH by method"}
    return figures | JUDGED_FIGURES


def judged_figures():
    """Figures of judged answers: differences where there are two methods, repeats where the judge rates again."""
    about = {
        "mtbench": "Scores by category and method",
        "mtbench_radar": "Scores by category as a radar",
        "mtbench_differences": "Paired differences to the baseline by category",
        "mtbench_repeats": "Scores against how often the judge rated",
    }
    compared = set(JUDGED) & set(COMPARED)
    made = {
        "mtbench": JUDGED,
        "mtbench_radar": JUDGED,
        "mtbench_differences": compared,
        "mtbench_repeats": JUDGED_AGAIN,
    }
    tables = {"mtbench_radar": "mtbench"}
    return {
        name: {"draw": name, "table": tables.get(name, name), "about": text}
        for name, text in about.items()
        if made[name]
    }


def drawing_files(draw):
    """What a figure is drawn by besides the entry point, which loads the figure's module by name."""
    shared = ["judged.py"] if draw in JUDGED_FIGURES else []
    return [f"{draw}.py", *shared, "house.mplstyle"]


def figure_settings(spec):
    """The `--settings` of one figure."""
    settings = {key: spec[key] for key in ("experiment", "stage") if key in spec}
    if "experiment" in spec:
        settings["sources"] = STUDY.experiments[spec["experiment"]].sources
        settings["leakage"] = STUDY.experiments[spec["experiment"]].leakage
    if spec["draw"] == "test_loss" or spec.get("stage") == "finetuning":
        settings["append_validation"] = STUDY.finetuning.append_validation
    if spec["draw"] == "weights":
        settings["corruption"] = corruption(spec["experiment"])
        settings["expected"] = STUDY.experiments[spec["experiment"]].expected
    return as_json(study=STUDY.study, **settings)


JUDGED_FIGURES = judged_figures()
FIGURE_LIST = figure_list()
FIGURES = {name: f"{RESULTS}/figures/{name}.png" for name in FIGURE_LIST}
