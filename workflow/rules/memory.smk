# memory: the shape of a model → what training it will hold, by what trains; without activations.
# in: the study's `models`, a fetched model's config.json where its shape is not known   out: memory/<model>.json
# and, of no study: that prediction with activations held against measured runs   out: results/memory/check.csv, figures/check.{pdf,png}


rule predict_memory:
    """Predict the bytes of parameters, gradients and optimiser states of one model, trained in different ways."""
    input:
        code=code("predict_memory.py"),
        model=shape_file,
    output:
        f"{RESULTS}/memory/{{model}}.json",
    log:
        f"{LOGS}/predict_memory/{{model}}.log",
    benchmark:
        f"{BENCHMARKS}/predict_memory/{{model}}.tsv"
    # Seconds, whatever the model: it has no values.
    localrule: True
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=memory(2),
        runtime=runtime(0.25),
    params:
        launch=launcher,
        start=lambda w, input: f"--model {input.model}" if input.model else "",
        settings=predicted_settings,
    shell:
        "{params.launch:q} {input.code[0]} --settings {params.settings:q} {params.start} --output {output:q} "
        "2>&1 | tee -i {log:q}"


rule memory_check_table:
    """Predicted and measured peak memory of small training runs, each in processes of its own, as a table."""
    input:
        code=code("measure_memory.py"),
    output:
        csv="results/memory/check.csv",
        provenance="results/memory/check.provenance.json",
    log:
        "logs/memory/check.log",
    benchmark:
        "results/memory/benchmarks/check.tsv"
    conda:
        "../../envs/train.yaml"
    # Some runs are two processes.
    threads: 2
    resources:
        mem_mb=memory(16),
        runtime=runtime(1),
    params:
        launch=launcher,
    shell:
        "{params.launch:q} {input.code[0]} --csv {output.csv:q} 2>&1 | tee -i {log:q}"


rule memory_check:
    """Is the predicted peak memory right? Predicted against measured, as a figure (not part of a study)."""
    input:
        code=code("draw_figure.py")
        + ["scripts/scalebio/figures/memory_check.py", "scripts/scalebio/figures/house.mplstyle"],
        table=rules.memory_check_table.output.csv,
    output:
        png="results/memory/figures/check.png",
        pdf="results/memory/figures/check.pdf",
        provenance="results/memory/figures/check.provenance.json",
    log:
        "logs/memory/draw_check.log",
    localrule: True
    conda:
        "../../envs/plot.yaml"
    threads: 1
    resources:
        mem_mb=memory(1),
        runtime=runtime(0.25),
    params:
        launch=launcher,
        settings=as_json(study="memory check"),
    shell:
        "{params.launch:q} {input.code[0]} memory_check --table {input.table:q} --settings {params.settings:q} "
        "--pdf {output.pdf:q} --png {output.png:q} 2>&1 | tee -i {log:q}"
