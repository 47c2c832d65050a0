# planted: every weighting method on small tasks whose right weights are known. Asked for by name (`snakemake planted`),
# no part of any study.
# in: nothing but seeds   out: results/planted/planted.{csv,md,png,pdf}

PLANTED = "results/planted"
# Seeds that no setting was chosen on.
PLANTED_SEEDS = [40, 41, 42]
PLANTED_TASKS = [
    ("denoise5", "poor"),
    ("lang", "poor"),
    ("pref4", "poor"),
    ("pref631", "poor"),
    ("pref73", "poor"),
    ("conf73", "poor"),
    ("conf73", "better"),
]


rule measure_planted:
    """Learn the weights of one planted task with one seed by every method, and measure how right they are."""
    input:
        code=code("measure_planted.py"),
    output:
        f"{PLANTED}/runs/{{task}}_{{base}}_seed{{seed}}.json",
    log:
        "logs/planted/{task}_{base}_seed{seed}.log",
    benchmark:
        f"{PLANTED}/benchmarks/{{task}}_{{base}}_seed{{seed}}.tsv"
    wildcard_constraints:
        task=one_of({task for task, _ in PLANTED_TASKS}),
        base=one_of({base for _, base in PLANTED_TASKS}),
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=memory(2),
        runtime=runtime(1),
    params:
        launch=launcher,
        settings=lambda w: as_json(task=w.task, base=w.base, seed=int(w.seed)),
    shell:
        "{params.launch:q} {input.code[0]} --settings {params.settings:q} --output {output:q} 2>&1 | tee -i {log:q}"


rule planted:
    """How right the weights of every method are on planted tasks: table and figure (not part of a study)."""
    input:
        code=code("tabulate_planted.py") + ["scripts/scalebio/figures/house.mplstyle"],
        runs=[f"{PLANTED}/runs/{task}_{base}_seed{seed}.json" for task, base in PLANTED_TASKS for seed in PLANTED_SEEDS],
    output:
        csv=f"{PLANTED}/planted.csv",
        markdown=f"{PLANTED}/planted.md",
        pdf=f"{PLANTED}/planted.pdf",
        png=f"{PLANTED}/planted.png",
        provenance=f"{PLANTED}/planted.provenance.json",
    log:
        "logs/planted/planted.log",
    localrule: True
    conda:
        "../../envs/plot.yaml"
    threads: 1
    resources:
        mem_mb=memory(1),
        runtime=runtime(0.25),
    params:
        launch=launcher,
    shell:
        "{params.launch:q} {input.code[0]} {input.runs:q} --csv {output.csv:q} "
        "--markdown {output.markdown:q} --pdf {output.pdf:q} --png {output.png:q} 2>&1 | tee -i {log:q}"


rule planted_check:
    """How well the gradient-match check tells right weights from wrong ones (not part of a study)."""
    input:
        code=code("measure_check.py"),
    output:
        csv=f"{PLANTED}/check.csv",
        summary=f"{PLANTED}/check.json",
    log:
        "logs/planted/check.log",
    benchmark:
        f"{PLANTED}/benchmarks/check.tsv"
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=memory(2),
        runtime=runtime(1),
    params:
        launch=launcher,
        settings=as_json(seeds=PLANTED_SEEDS),
    shell:
        "{params.launch:q} {input.code[0]} --settings {params.settings:q} --csv {output.csv:q} "
        "--summary {output.summary:q} 2>&1 | tee -i {log:q}"
