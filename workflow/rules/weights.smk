# weights: base model and pool → one weight per source, by one method and seed.
# in: base model, pool   out: <run>/weights.json, <run>/trajectory.parquet, <run>/row_scores.parquet


LEARNING_HARDWARE = hardware_for("learn_weights")


def planted_truth(wildcards):
    """The setting `expected`, for the oracle alone, so that no other job depends on it."""
    oracle = STUDY.methods[wildcards.method].kind == "oracle"
    return {"expected": experiment_of(wildcards).expected} if oracle else {}


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
        row_scores=f"{RESULTS}/{RUN}/row_scores.parquet",
    log:
        f"{LOGS}/learn_weights/{RUN}.log",
    benchmark:
        f"{BENCHMARKS}/learn_weights/{RUN}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: training_threads(LEARNING_HARDWARE)
    resources:
        **training_resources(LEARNING_HARDWARE),
    params:
        launch=training_launcher(LEARNING_HARDWARE),
        time_limit=time_limit,
        sharing=sharing(LEARNING_HARDWARE),
        checkpoints=f"{RESULTS}/{RUN}/checkpoints/learn_weights",
        settings=lambda w: as_json(
            experiment=w.experiment,
            method=w.method,
            settings=STUDY.methods[w.method],
            seed=int(w.seed),
            sources=experiment_of(w).sources,
            pool_rows=experiment_of(w).pool_rows,
            max_length=model_of(w).max_length,
            **model_of(w).what_trains(),
            **planted_truth(w),
        ),
    shell:
        "{params.launch} {input.code[0]} {params.sharing} --settings {params.settings:q} --model {input.model:q} "
        "--train {input.train:q} --validation {input.validation:q} "
        "--output {output.weights:q} --trajectory {output.trajectory:q} --row-scores {output.row_scores:q} "
        "--checkpoints {params.checkpoints:q} "
        "{params.time_limit} --attempt {resources.attempt} 2>&1 | tee -i {log:q}"
