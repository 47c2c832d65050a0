# catalogue: which tables and figures the study has, and what each is made from. No rules here.

RUN_FILES = {
    "trajectories": {"trajectory": "trajectory.parquet", "weights": "weights.json"},
    "weights": {"weights": "weights.json"},
    "mixtures": {"mixture": "mixture.json"},
    "test_loss": {"metrics": "metrics.json"},
    "training_curves": {"training": "training.parquet", "trajectory": "trajectory.parquet"},
    "mtbench": {"scores": "mtbench/scores.csv"},
}
ABOUT_TABLES = {
    "trajectories": "Weight of every source over the steps of reweighting",
    "weights": "Learned weights beside the planted truth",
    "mixtures": "Asked against realised shares of the fine-tuning mixture, in rows and tokens",
    "test_loss": "Test loss and accuracy by method, with the difference to uniform",
    "training_curves": "Losses over the steps of reweighting and fine-tuning",
    "mtbench": "Scores by category and turn, with the judge named",
    "costs": "Time and memory by stage, as measured",
}
LEARNS = {name for name, method in STUDY.methods.items() if method.kind != "uniform"}


def learning(*experiments):
    """Whether any method of the given (default: all) experiments learns weights, so that there are steps to show."""
    return any(LEARNS & set(STUDY.experiments[name].methods) for name in experiments or STUDY.run)


UNMADE = {name for name, made in [("mtbench", experiments_with("mtbench")), ("trajectories", learning())] if not made}
TABLES = {name: f"{RESULTS}/tables/{name}.csv" for name in ABOUT_TABLES if name not in UNMADE}


def table_runs(name):
    """Every run that the table covers, with the files it reads."""
    evaluation = "mtbench" if name == "mtbench" else None
    return [
        {**run, **{key: run_path(run, file) for key, file in RUN_FILES[name].items()}}
        for run in runs(evaluation=evaluation)
    ]


def table_settings(name):
    """The `--settings` of one table; only the weights stand beside what was planted."""
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
    if experiments_with("mtbench"):
        stages |= {"mtbench_answers": "mtbench", "mtbench_judgments": "mtbench"}
    warm = [
        {"stage": "warm_up", "path": f"{BENCHMARKS}/warm_up/{name}/{STUDY.experiments[name].model}.tsv"}
        for name in STUDY.run
        if STUDY.models[STUDY.experiments[name].model].warm_up
    ]
    return warm + [
        {
            "stage": f"{stage} {run['method']}" if stage == "learn_weights" else stage,
            "path": f"{BENCHMARKS}/{stage}/{run['experiment']}/{run['model']}/{run['method']}/seed{run['seed']}.tsv",
        }
        for stage, evaluation in stages.items()
        for run in runs(evaluation=evaluation)
    ]


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
    if learning():
        figures["reweighting_curves"] = {
            "draw": "training_curves",
            "caption": "reweighting_curves",
            "table": "training_curves",
            "stage": "reweighting",
            "about": "L1, L2(w) and L2(u) over the steps of reweighting",
        }
    figures["mixtures"] = {"draw": "mixtures", "table": "mixtures", "about": "Asked against realised shares"}
    if experiments_with("mtbench"):
        figures["mtbench"] = {"draw": "mtbench", "table": "mtbench", "about": "Scores by category and method"}
    return figures


def figure_settings(spec):
    """The `--settings` of one figure."""
    settings = {key: spec[key] for key in ("experiment", "stage") if key in spec}
    if "experiment" in spec:
        settings["sources"] = STUDY.experiments[spec["experiment"]].sources
        settings["leakage"] = STUDY.experiments[spec["experiment"]].leakage
    if spec["draw"] == "weights":
        settings["corruption"] = corruption(spec["experiment"])
        settings["expected"] = STUDY.experiments[spec["experiment"]].expected
    return as_json(study=STUDY.study, **settings)


FIGURE_LIST = figure_list()
FIGURES = {name: f"{RESULTS}/figures/{name}.png" for name in FIGURE_LIST}
