# gate_catalogue: which gates look at which experiments, and what each reads. No rules here.

# The experiments that each gate looks at.
CONTROLS = [name for name in STUDY.run if STUDY.experiments[name].control]
GATED = {"leakage": STUDY.run, "template": STUDY.run, "controls": CONTROLS}
FATAL = [gate for gate in GATED if getattr(STUDY.gates, gate) == "fatal"]
VERDICTS = [verdict_file(gate, experiment) for gate, experiments in GATED.items() for experiment in experiments]


def reading_stages(experiment):
    """For each run of an experiment, the results whose making read text, by stage."""
    evaluated = STUDY.experiments[experiment].evaluate
    files = {"weights": "weights.json", "mixture": "mixture.json", "model": "model/provenance.json"}
    files |= {"metrics": "metrics.json"}
    files |= {f"{name} answers": f"{name}/answers.provenance.json" for name in ("math", "mtbench") if name in evaluated}
    return {
        f"{run['method']}/seed{run['seed']}": {"base": base_of(experiment)}
        | {stage: run_path(run, file) for stage, file in files.items()}
        for run in runs(experiment)
    }


def control_settings(experiment):
    """The `--settings` of the gate of one control."""
    settings = STUDY.experiments[experiment]
    return {
        "experiment": experiment,
        "kind": settings.control.kind,
        "sources": settings.control.sources,
        "methods": [name for name in settings.methods if name in LEARNS],
        "tolerance": STUDY.gates.tolerance,
    }
