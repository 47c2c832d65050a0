# grid: regret of every method against the best of a trained simplex lattice, on planted tasks of three and four sources. Asked
# for by name (`snakemake grid`), no part of any study.
# in: nothing but a seed   out: results/grid/grid_regret.{csv,md,tex}, surfaces.{png,pdf}

GRID = "results/grid"
# Rows and base of a task; no setting was chosen on it.
GRID_SEED = 40
# Task → parts of its lattice: shares are multiples of 1 / parts. Three, three and four sources: 66, 21 and 56 mixtures.
GRID_TASKS = {"conf631": 10, "denoise3": 5, "conf73": 5}


rule measure_grid:
    """Train one planted task on every mixture of a lattice and on the weights of every method."""
    input:
        code=code("measure_grid.py"),
    output:
        csv=f"{GRID}/runs/{{task}}.csv",
        provenance=f"{GRID}/runs/{{task}}.provenance.json",
    log:
        "logs/grid/{task}.log",
    benchmark:
        f"{GRID}/benchmarks/{{task}}.tsv"
    wildcard_constraints:
        task=one_of(GRID_TASKS),
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=memory(2),
        runtime=runtime(2),
    params:
        launch=launcher,
        # No output: it must outlive a killed job, which goes on from it.
        journal=f"{GRID}/journals/{{task}}.jsonl",
        settings=lambda w: as_json(task=w.task, seed=GRID_SEED, parts=GRID_TASKS[w.task]),
    shell:
        "{params.launch:q} {input.code[0]} --settings {params.settings:q} --csv {output.csv:q} --journal {params.journal:q} "
        "2>&1 | tee -i {log:q}"


rule grid:
    """Regret of every method against a trained grid, and the loss surfaces (not part of a study)."""
    input:
        code=code("tabulate_grid.py") + ["scripts/scalebio/figures/house.mplstyle"],
        runs=expand(f"{GRID}/runs/{{task}}.csv", task=GRID_TASKS),
    output:
        csv=f"{GRID}/grid_regret.csv",
        markdown=f"{GRID}/grid_regret.md",
        latex=f"{GRID}/grid_regret.tex",
        pdf=f"{GRID}/surfaces.pdf",
        png=f"{GRID}/surfaces.png",
        provenance=f"{GRID}/grid_regret.provenance.json",
    log:
        "logs/grid/grid.log",
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
        "--markdown {output.markdown:q} --latex {output.latex:q} --pdf {output.pdf:q} --png {output.png:q} 2>&1 | tee -i {log:q}"
