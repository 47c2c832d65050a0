# memory: the shape of a model → what training it will hold, by what trains; without activations.
# in: the study's `models`, a fetched model's config.json where its shape is not known   out: memory/<model>.json


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
