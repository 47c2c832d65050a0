# hypergradient: ScaleBiO's λ gradient held against exact ones. Of no study, and asked for by name only.
# out: results/hypergradient/hypergradient.{csv,md}, figures/hypergradient.{pdf,png}


rule hypergradient_check:
    """Errors of ScaleBiO's λ gradient against exact hypergradients, as a table."""
    input:
        code=code("check_hypergradient.py"),
    output:
        csv="results/hypergradient/hypergradient.csv",
        markdown="results/hypergradient/hypergradient.md",
        provenance="results/hypergradient/hypergradient.provenance.json",
    log:
        "logs/hypergradient/check_hypergradient.log",
    benchmark:
        "results/hypergradient/benchmarks/check_hypergradient.tsv"
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=memory(2),
        runtime=runtime(1),
    params:
        launch=launcher,
        settings=as_json(seeds=[0, 1]),
    shell:
        "{params.launch:q} {input.code[0]} --settings {params.settings:q} "
        "--csv {output.csv:q} --markdown {output.markdown:q} 2>&1 | tee -i {log:q}"


rule hypergradient:
    """Is the λ gradient right? ScaleBiO against exact hypergradients, by α and by steps, as a figure."""
    input:
        code=code("draw_figure.py")
        + ["scripts/scalebio/figures/hypergradient.py", "scripts/scalebio/figures/house.mplstyle"],
        table=rules.hypergradient_check.output.csv,
    output:
        png="results/hypergradient/figures/hypergradient.png",
        pdf="results/hypergradient/figures/hypergradient.pdf",
        provenance="results/hypergradient/figures/hypergradient.provenance.json",
    log:
        "logs/hypergradient/draw_figure.log",
    benchmark:
        "results/hypergradient/benchmarks/draw_figure.tsv"
    localrule: True
    conda:
        "../../envs/plot.yaml"
    threads: 1
    resources:
        mem_mb=memory(1),
        runtime=runtime(0.25),
    params:
        launch=launcher,
        settings=as_json(),
    shell:
        "{params.launch:q} {input.code[0]} hypergradient --table {input.table:q} --settings {params.settings:q} "
        "--pdf {output.pdf:q} --png {output.png:q} 2>&1 | tee -i {log:q}"
