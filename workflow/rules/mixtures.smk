# mixtures: weights → the rows the final model is trained on, and how close they come to what was asked.
# in: <run>/weights.json, <run>/row_scores.parquet, pool   out: <run>/mixture.parquet, <run>/mixture.json


rule draw_mixture:
    """Draw the fine-tuning rows by the learned weights."""
    input:
        code=code("draw_mixture.py"),
        weights=f"{RESULTS}/{RUN}/weights.json",
        row_scores=f"{RESULTS}/{RUN}/row_scores.parquet",
        train=f"{RESULTS}/{{experiment}}/pool/train.parquet",
        validation=appended_validation,
        model=base_model,
    output:
        mixture=f"{RESULTS}/{RUN}/mixture.parquet",
        manifest=f"{RESULTS}/{RUN}/mixture.json",
    log:
        f"{LOGS}/draw_mixture/{RUN}.log",
    benchmark:
        f"{BENCHMARKS}/draw_mixture/{RUN}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=memory(2),
        runtime=runtime(1),
    params:
        launch=launcher,
        validation=lambda w, input: f"--validation {input.validation}" if input.validation else "",
        settings=lambda w: as_json(
            rows=experiment_of(w).mixture_rows or STUDY.finetuning.rows,
            seed=int(w.seed),
            max_repeat={name: STUDY.sources[name].max_repeat for name in experiment_of(w).sources},
            over_supply=experiment_of(w).over_supply,
            max_length=model_of(w).max_length,
        ),
    shell:
        "{params.launch:q} {input.code[0]} --settings {params.settings:q} --weights {input.weights:q} "
        "--row-scores {input.row_scores:q} --train {input.train:q} {params.validation} --model {input.model:q} "
        "--output {output.mixture:q} --manifest {output.manifest:q} 2>&1 | tee -i {log:q}"
