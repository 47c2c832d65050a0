# bench: what one outer step costs, against the released code's step written plainly. Belongs to no study.
# in: code   out: results/bench/step.{csv,md,pdf,png}


rule bench:
    """CPU time and peak memory of an outer step, released code written plainly against ours, one idea at a time."""
    input:
        code=code("bench_step.py") + ["scripts/scalebio/figures/house.mplstyle"],
    output:
        csv="results/bench/step.csv",
        markdown="results/bench/step.md",
        pdf="results/bench/step.pdf",
        png="results/bench/step.png",
    log:
        "logs/bench/step.log",
    conda:
        "../../envs/bench.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=120,
    params:
        launch=launcher,
    shell:
        "{params.launch:q} {input.code[0]} --csv {output.csv:q} --markdown {output.markdown:q} "
        "--pdf {output.pdf:q} --png {output.png:q} 2>&1 | tee -i {log:q}"
