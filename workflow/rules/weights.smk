# weights: base model and pool → one weight per source, by one method and seed.
# in: base model, pool   out: <run>/weights.json, <run>/trajectory.parquet


rule learn_weights:
    """Learn the sources' weights with one method and one seed."""
    input:
        code=code("learn_weights.py"),
        model=base_model,
        train=f"{RESULTS}/{{experiment}}/pool/train.parquet",
        validation=f"{RESULTS}/{{experiment}}/pool/validation.parquet",
    output:
        weights=f"{RESULTS}/{RUN}/weights.json",
        trajectory=f"{RESULTS}/{RUN}/trajectory.parquet",
    log:
        f"{LOGS}/learn_weights/{RUN}.log",
    benchmark:
        f"{BENCHMARKS}/learn_weights/{RUN}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=24 * 60,
        nodes=for_training("learn_weights", nodes),
        tasks=for_training("learn_weights", nodes),
        processes=for_training("learn_weights", processes),
        gpu=for_training("learn_weights", gpus),
        attempt=attempt,
    params:
        launch=training_launcher,
        sharing=sharing,
        time_limit=time_limit,
        checkpoints=f"{RESULTS}/{RUN}/checkpoints/learn_weights",
        settings=lambda w: as_json(
            experiment=w.experiment,
            method=w.method,
            settings=STUDY.methods[w.method],
            seed=int(w.seed),
            sources=experiment_of(w).sources,
            pool_rows=experiment_of(w).pool_rows,
            max_length=model_of(w).max_length,
            lisa=model_of(w).lisa,
        ),
    shell:
        "{params.launch} {input.code[0]} {params.sharing} --settings {params.settings:q} --model {input.model:q} "
        "--train {input.train:q} --validation {input.validation:q} "
        "--output {output.weights:q} --trajectory {output.trajectory:q} --checkpoints {params.checkpoints:q} "
        "{params.time_limit} --attempt {resources.attempt} 2>&1 | tee -i {log:q}"
