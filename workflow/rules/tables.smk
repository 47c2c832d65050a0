# tables: results of single runs → tidy CSV tables with a readable Markdown twin. Figures read nothing else.
# in: <run>/*   out: tables/<name>.csv, tables/<name>.md

RUN_FILES = {
    "trajectories": {"trajectory": "trajectory.parquet"},
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
TABLES = {
    name: f"{RESULTS}/tables/{name}.csv"
    for name in ABOUT_TABLES
    if name != "mtbench" or experiments_with("mtbench")
}


def table_runs(name):
    """Every run that the table covers, with the files it reads."""
    evaluation = "mtbench" if name == "mtbench" else None
    return [
        {**run, **{key: run_path(run, file) for key, file in RUN_FILES[name].items()}}
        for run in runs(evaluation=evaluation)
    ]


def table_settings(name):
    """The `--settings` of one table."""
    experiments = {
        experiment: {
            "sources": STUDY.experiments[experiment].sources,
            "expected": STUDY.experiments[experiment].expected,
            "corruption": {
                source: STUDY.sources[source].corrupt.rate
                for source in STUDY.experiments[experiment].sources
                if STUDY.sources[source].corrupt
            }
            or None,
        }
        for experiment in STUDY.run
    }
    return as_json(runs=table_runs(name), experiments=experiments, study=STUDY.study)


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


for table in RUN_FILES:
    if table not in TABLES:
        continue

    rule:
        """A tidy table of the study."""
        name:
            f"table_{table}"
        input:
            code=code("make_table.py"),
            files=[run[key] for run in table_runs(table) for key in RUN_FILES[table]],
        output:
            csv=report(
                TABLES[table],
                category="Tables",
                caption="../report/table.rst",
                labels={"table": table, "about": ABOUT_TABLES[table]},
            ),
            markdown=f"{RESULTS}/tables/{table}.md",
        log:
            f"{LOGS}/make_table/{table}.log",
        benchmark:
            f"{BENCHMARKS}/make_table/{table}.tsv"
        conda:
            "../../envs/plot.yaml"
        localrule: True
        threads: 1
        params:
            launch=launcher,
            name=table,
            about=ABOUT_TABLES[table],
            settings=table_settings(table),
        shell:
            "{params.launch} {input.code[0]} {params.name} --settings {params.settings:q} "
            "--csv {output.csv:q} --markdown {output.markdown:q} 2>&1 | tee {log:q}"

    # What `--list-target-rules` prints; a docstring in a loop could not differ.
    workflow.get_rule(f"table_{table}").docstring = ABOUT_TABLES[table]


rule table_costs:
    """Time and memory by stage, as measured by the benchmark files of this study's jobs."""
    input:
        code=code("make_table.py"),
        files=[job["path"] for job in benchmark_files()],
    output:
        csv=report(
            TABLES["costs"],
            category="Tables",
            caption="../report/table.rst",
            labels={"table": "costs", "about": ABOUT_TABLES["costs"]},
        ),
        markdown=f"{RESULTS}/tables/costs.md",
    log:
        f"{LOGS}/make_table/costs.log",
    conda:
        "../../envs/plot.yaml"
    localrule: True
    threads: 1
    params:
        launch=launcher,
        about=ABOUT_TABLES["costs"],
        settings=as_json(stages=benchmark_files(), study=STUDY.study),
    shell:
        "{params.launch} {input.code[0]} costs --settings {params.settings:q} "
        "--csv {output.csv:q} --markdown {output.markdown:q} 2>&1 | tee {log:q}"
