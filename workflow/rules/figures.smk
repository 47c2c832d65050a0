# figures: tidy tables → PDF and PNG, one named target each (`snakemake figure_denoising_weights`).
# in: tables/<name>.csv   out: figures/<name>.{pdf,png,provenance.json}

for figure, spec in FIGURE_LIST.items():

    rule:
        """A figure of the study."""
        name:
            f"figure_{figure}"
        input:
            code=code("draw_figure.py") + [f"scripts/scalebio/figures/{name}" for name in drawing_files(spec["draw"])],
            table=TABLES[spec["table"]],
        output:
            png=report(
                FIGURES[figure],
                category=spec.get("experiment", "All experiments"),
                caption=f"../report/{spec.get('caption', spec['draw'])}.rst",
                labels={"figure": spec["about"]},
            ),
            pdf=f"{RESULTS}/figures/{figure}.pdf",
            provenance=f"{RESULTS}/figures/{figure}.provenance.json",
        log:
            f"{LOGS}/draw_figure/{figure}.log",
        benchmark:
            f"{BENCHMARKS}/draw_figure/{figure}.tsv"
        localrule: True
        conda:
            "../../envs/plot.yaml"
        threads: 1
        resources:
            mem_mb=memory(1),
            runtime=runtime(0.25),
        params:
            launch=launcher,
            draw=spec["draw"],
            settings=figure_settings(spec),
        shell:
            "{params.launch:q} {input.code[0]} {params.draw} --table {input.table:q} --settings {params.settings:q} "
            "--pdf {output.pdf:q} --png {output.png:q} 2>&1 | tee -i {log:q}"

    # What `--list-target-rules` prints; a docstring in a loop could not differ.
    workflow.get_rule(f"figure_{figure}").docstring = (
        f"{spec['about']}: {spec.get('experiment', 'all experiments')}"
    )
