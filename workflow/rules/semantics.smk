# semantics: what each point on which the authors' releases differ from ours costs on planted tasks. Asked for by name
# (`snakemake semantics`), no part of any study.
# in: nothing but seeds   out: results/semantics/runs/*.csv, semantics.{pdf,png}

SEMANTICS = "results/semantics"
SEMANTICS_TASKS = ["denoise5", "pref631"]
SEMANTICS_SEEDS = [40, 41, 42]


rule measure_semantics:
    """Learn the weights of one planted task with one seed under every choice of semantics."""
    input:
        code=code("measure_semantics.py"),
    output:
        csv=f"{SEMANTICS}/runs/{{task}}_seed{{seed}}.csv",
        provenance=f"{SEMANTICS}/runs/{{task}}_seed{{seed}}.provenance.json",
    log:
        "logs/semantics/{task}_seed{seed}.log",
    benchmark:
        f"{SEMANTICS}/benchmarks/{{task}}_seed{{seed}}.tsv"
    wildcard_constraints:
        task=one_of(SEMANTICS_TASKS),
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=memory(2),
        runtime=runtime(1),
    params:
        launch=launcher,
        settings=lambda w: as_json(task=w.task, seed=int(w.seed)),
    shell:
        "{params.launch:q} {input.code[0]} --settings {params.settings:q} --csv {output.csv:q} 2>&1 | tee -i {log:q}"


rule semantics:
    """What each difference of the releases costs on planted tasks, as a figure (not part of a study)."""
    input:
        code=code("draw_figure.py")
        + ["scripts/scalebio/figures/semantics.py", "scripts/scalebio/figures/house.mplstyle"],
        tables=expand(f"{SEMANTICS}/runs/{{task}}_seed{{seed}}.csv", task=SEMANTICS_TASKS, seed=SEMANTICS_SEEDS),
    output:
        png=f"{SEMANTICS}/semantics.png",
        pdf=f"{SEMANTICS}/semantics.pdf",
        provenance=f"{SEMANTICS}/semantics.provenance.json",
    log:
        "logs/semantics/draw_figure.log",
    benchmark:
        f"{SEMANTICS}/benchmarks/draw_figure.tsv"
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
        "{params.launch:q} {input.code[0]} semantics --table {input.tables:q} --settings {params.settings:q} "
        "--pdf {output.pdf:q} --png {output.png:q} 2>&1 | tee -i {log:q}"
