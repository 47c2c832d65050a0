# weights: base model and pool → one weight per source, by one method and seed; or another experiment's weights, taken over.
# in: base model, pool, weights.json of another run   out: <run>/weights.json, <run>/trajectory.{parquet,provenance.json}, <run>/row_scores.parquet


LEARNING_HARDWARE = hardware_for("learn_weights")


rule learn_weights:
    """Learn the sources' weights with one method and one seed."""
    input:
        code=code("learn_weights.py"),
        model=base_model,
        train=f"{RESULTS}/{{experiment}}/pool/train.parquet",
        gate=passed("leakage", "{experiment}"),
        validation=f"{RESULTS}/{{experiment}}/pool/validation.parquet",
        start=starting_weights,
    output:
        weights=f"{RESULTS}/{RUN}/weights.json",
        trajectory=f"{RESULTS}/{RUN}/trajectory.parquet",
        trajectory_provenance=f"{RESULTS}/{RUN}/trajectory.provenance.json",
        row_scores=f"{RESULTS}/{RUN}/row_scores.parquet",
    log:
        f"{LOGS}/learn_weights/{RUN}.log",
    benchmark:
        f"{BENCHMARKS}/learn_weights/{RUN}.tsv"
    wildcard_constraints:
        experiment=one_of(set(STUDY.run) - set(TRANSFERS)),
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
        start=lambda w: f"--start {shlex.quote(starting_weights(w))}" if starting_weights(w) else "",
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
            **bootstrapped(w),
        ),
    shell:
        "{params.launch} {input.code[0]} {params.sharing} --settings {params.settings:q} --model {input.model:q} "
        "--train {input.train:q} --validation {input.validation:q} {params.start} "
        "--output {output.weights:q} --trajectory {output.trajectory:q} --row-scores {output.row_scores:q} "
        "--checkpoints {params.checkpoints:q} "
        "{params.time_limit} --attempt {resources.attempt} 2>&1 | tee -i {log:q}"


rule transfer_weights:
    """Take the weights that another experiment learned on the same sources, instead of learning them."""
    input:
        code=code("transfer_weights.py"),
        weights=lambda w: run_path(learned_by(w), "weights.json"),
        row_scores=lambda w: run_path(learned_by(w), "row_scores.parquet"),
        train=f"{RESULTS}/{{experiment}}/pool/train.parquet",
        their_train=lambda w: f"{RESULTS}/{TRANSFERS[w.experiment]}/pool/train.parquet",
        pool=f"{RESULTS}/{{experiment}}/pool/pool.json",
        their_pool=lambda w: f"{RESULTS}/{TRANSFERS[w.experiment]}/pool/pool.json",
        model=base_model,
        their_model=lambda w: base_of(TRANSFERS[w.experiment]),
        gate=passed("leakage", "{experiment}"),
    output:
        weights=f"{RESULTS}/{RUN}/weights.json",
        trajectory=f"{RESULTS}/{RUN}/trajectory.parquet",
        trajectory_provenance=f"{RESULTS}/{RUN}/trajectory.provenance.json",
        row_scores=f"{RESULTS}/{RUN}/row_scores.parquet",
    log:
        f"{LOGS}/transfer_weights/{RUN}.log",
    benchmark:
        f"{BENCHMARKS}/transfer_weights/{RUN}.tsv"
    wildcard_constraints:
        experiment=one_of(TRANSFERS),
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=memory(1),
        runtime=runtime(0.5),
    params:
        launch=launcher,
        settings=lambda w: as_json(
            experiment=w.experiment,
            method=w.method,
            seed=int(w.seed),
            sources=experiment_of(w).sources,
            model=w.model,
            origin={key: learned_by(w)[key] for key in ("experiment", "model")},
        ),
    shell:
        "{params.launch:q} {input.code[0]} --settings {params.settings:q} --weights {input.weights:q} "
        "--pool {input.pool:q} --their-pool {input.their_pool:q} "
        "--row-scores {input.row_scores:q} --train {input.train:q} --their-train {input.their_train:q} "
        "--model {input.model:q} --their-model {input.their_model:q} "
        "--output {output.weights:q} --trajectory {output.trajectory:q} --scores {output.row_scores:q} 2>&1 | tee -i {log:q}"
