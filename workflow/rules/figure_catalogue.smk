# figure_catalogue: which figures the study has, what each is drawn from, and what claims are tested on. No rules here.


def models_compared():
    """Experiments that learn weights on the same sources and reference with different models, one list a group."""
    groups = []
    for name in STUDY.run:
        if learning(name) and name not in TRANSFERS:
            group = next((found for found in groups if alike(found[0], name)), None)
            if group is None:
                groups.append([name])
            elif STUDY.experiments[name].model not in {STUDY.experiments[one].model for one in group}:
                group.append(name)

    def shown(experiment):
        learned = [method for method in STUDY.experiments[experiment].methods if method in LEARNS]
        method = next((name for name in learned if STUDY.methods[name].kind == "scalebio"), learned[0])
        return {"experiment": experiment, "model": STUDY.experiments[experiment].model, "method": method}

    return [[shown(name) for name in group] for group in groups if len(group) > 1]


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
    if VARIATIONS:
        figures["ablations"] = {
            "draw": "ablations",
            "table": "ablations",
            "about": "What one setting changes: distance from the planted truth and test loss",
        }
    if MODELS_COMPARED:
        figures["weights_by_model"] = {
            "draw": "weights_by_model",
            "table": "weights",
            "about": "Final weights of the same sources, model by model",
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
    if spec["draw"] in ("weights", "final_weights"):
        settings |= interval_facts(spec["experiment"])
    if spec["draw"] == "weights_by_model":
        settings["groups"] = MODELS_COMPARED
    return as_json(study=STUDY.study, **settings)


def claims_settings():
    """The `--settings` of the claims."""
    facts = {
        name: {
            "model": STUDY.experiments[name].model,
            "hub": getattr(STUDY.models[STUDY.experiments[name].model].hub, "id", None),
            "methods": STUDY.experiments[name].methods,
            # Not other settings of the method that the claims are about.
            "rivals": [
                method
                for method in STUDY.experiments[name].methods
                if method in LEARNS and STUDY.methods[method].kind != "scalebio"
            ],
            "weights_from": STUDY.experiments[name].weights_from,
        }
        for name in STUDY.run
    }
    return as_json(study=STUDY.study, experiments=facts, tables=CLAIMS_TABLES)


MODELS_COMPARED = models_compared()
JUDGED_FIGURES = judged_figures()
# What claims are tested on; the rest holds single steps, and figures for readers.
CLAIMS_TABLES = {
    name: TABLES[name]
    for name in ("weights", "method_comparison", "test_loss", "transfer", "memory", "peak_memory", "mtbench")
    + ("mtbench_differences", "math_differences")
    if name in TABLES
}
FIGURE_LIST = figure_list()
FIGURES = {name: f"{RESULTS}/figures/{name}.png" for name in FIGURE_LIST}
