# bench: what one outer step costs, against the released code's step written plainly, and how long judging takes. Of no
# study, asked for by name.
# out: results/bench/step.{csv,md}, growth.csv, judging.csv, figures/{step,growth}.{pdf,png}


rule bench_step:
    """CPU time and peak memory of an outer step, released code written plainly against ours, as a table."""
    input:
        code=code("bench_step.py"),
    output:
        csv="results/bench/step.csv",
        markdown="results/bench/step.md",
        provenance="results/bench/step.provenance.json",
    log:
        "logs/bench/step.log",
    benchmark:
        "results/bench/benchmarks/step.tsv"
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=memory(8),
        runtime=runtime(2),
    params:
        launch=launcher,
    shell:
        "{params.launch:q} {input.code[0]} --csv {output.csv:q} --markdown {output.markdown:q} 2>&1 | tee -i {log:q}"


rule bench:
    """What each idea saves of an outer step's CPU time and memory, as a figure (not part of a study)."""
    input:
        code=code("draw_figure.py")
        + [
            "scripts/scalebio/figures/bench.py",
            "scripts/scalebio/bench/names.py",
            "scripts/scalebio/figures/house.mplstyle",
        ],
        table=rules.bench_step.output.csv,
    output:
        png="results/bench/figures/step.png",
        pdf="results/bench/figures/step.pdf",
        provenance="results/bench/figures/step.provenance.json",
    log:
        "logs/bench/draw_figure.log",
    benchmark:
        "results/bench/benchmarks/draw_figure.tsv"
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
        "{params.launch:q} {input.code[0]} bench --table {input.table:q} --settings {params.settings:q} "
        "--pdf {output.pdf:q} --png {output.png:q} 2>&1 | tee -i {log:q}"


rule growth_table:
    """CPU time and memory of an outer step against sources, example length and model size, as a table."""
    input:
        code=code("bench_growth.py"),
    output:
        csv="results/bench/growth.csv",
        provenance="results/bench/growth.provenance.json",
    log:
        "logs/bench/growth.log",
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=memory(4),
        runtime=runtime(1),
    params:
        launch=launcher,
    shell:
        "{params.launch:q} {input.code[0]} --csv {output.csv:q} 2>&1 | tee -i {log:q}"


rule growth:
    """How a step's cost grows with sources, example length and model size, as a figure (not part of a study)."""
    input:
        code=code("draw_figure.py") + ["scripts/scalebio/figures/growth.py", "scripts/scalebio/figures/house.mplstyle"],
        table=rules.growth_table.output.csv,
    output:
        png="results/bench/figures/growth.png",
        pdf="results/bench/figures/growth.pdf",
        provenance="results/bench/figures/growth.provenance.json",
    log:
        "logs/bench/draw_growth.log",
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
        "{params.launch:q} {input.code[0]} growth --table {input.table:q} --settings {params.settings:q} "
        "--pdf {output.pdf:q} --png {output.png:q} 2>&1 | tee -i {log:q}"


rule bench_judging:
    """How long 160 and 1,600 judgments take over 32 connections, with a judge that always needs 200 ms."""
    input:
        code=code("bench_judging.py"),
    output:
        csv="results/bench/judging.csv",
        provenance="results/bench/judging.provenance.json",
    log:
        "logs/bench/judging.log",
    benchmark:
        "results/bench/benchmarks/judging.tsv"
    conda:
        "../../envs/train.yaml"
    # The judge is a process of its own.
    threads: 2
    resources:
        mem_mb=memory(2),
        runtime=runtime(0.25),
    params:
        launch=launcher,
    shell:
        "{params.launch:q} {input.code[0]} --csv {output.csv:q} 2>&1 | tee -i {log:q}"
