# figures: tidy tables → PDF and PNG, one named target each (`snakemake figure_denoising_weights`).
# in: tables/<name>.csv   out: figures/<name>.{pdf,png}

LEARNS = [name for name, method in STUDY.methods.items() if method.kind != "uniform"]


def figure_list():
    """Every figure of the study: name → what draws it, from which table, for which experiment, and what it shows."""
    figures = {}
    for experiment in STUDY.run:
        if set(LEARNS) & set(STUDY.experiments[experiment].methods):
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
                "about": "Final weights against the planted truth",
            }
    figures["test_loss"] = {"draw": "test_loss", "table": "test_loss", "about": "Test loss by method"}
    figures["training_curves"] = {
        "draw": "training_curves",
        "table": "training_curves",
        "about": "Losses over the steps",
    }
    figures["mixtures"] = {"draw": "mixtures", "table": "mixtures", "about": "Asked against realised shares"}
    if experiments_with("mtbench"):
        figures["mtbench"] = {"draw": "mtbench", "table": "mtbench", "about": "Scores by category and method"}
    return figures


FIGURE_LIST = figure_list()
FIGURES = {name: f"{RESULTS}/figures/{name}.png" for name in FIGURE_LIST}

for figure, spec in FIGURE_LIST.items():

    rule:
        """A figure of the study."""
        name:
            f"figure_{figure}"
        input:
            code=code("draw_figure.py"),
            table=TABLES[spec["table"]],
        output:
            png=report(
                FIGURES[figure],
                category=spec.get("experiment", "All experiments"),
                caption=f"../report/{spec['draw']}.rst",
                labels={"figure": spec["about"]},
            ),
            pdf=f"{RESULTS}/figures/{figure}.pdf",
        log:
            f"{LOGS}/draw_figure/{figure}.log",
        benchmark:
            f"{BENCHMARKS}/draw_figure/{figure}.tsv"
        conda:
            "../../envs/plot.yaml"
        localrule: True
        threads: 1
        params:
            launch=launcher,
            draw=spec["draw"],
            settings=as_json(study=STUDY.study, experiment=spec.get("experiment")),
        shell:
            "{params.launch} {input.code[0]} {params.draw} --table {input.table:q} --settings {params.settings:q} "
            "--pdf {output.pdf:q} --png {output.png:q} 2>&1 | tee {log:q}"

    # What `--list-target-rules` prints; a docstring in a loop could not differ.
    workflow.get_rule(f"figure_{figure}").docstring = f"{spec['about']}: {spec.get('experiment', 'all experiments')}"
