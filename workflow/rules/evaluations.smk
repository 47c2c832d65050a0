# evaluations: the fine-tuned model → test loss and task accuracy.
# in: <run>/model/, pool   out: <run>/metrics.json


rule evaluate:
    """Test loss of the fine-tuned model, and task accuracy where the experiment asks for it."""
    input:
        code=code("evaluate.py"),
        model=f"{RESULTS}/{RUN}/model/provenance.json",
        test=f"{RESULTS}/{{experiment}}/pool/test.parquet",
    output:
        f"{RESULTS}/{RUN}/metrics.json",
    log:
        f"{LOGS}/evaluate/{RUN}.log",
    benchmark:
        f"{BENCHMARKS}/evaluate/{RUN}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: model_threads
    resources:
        **ONE_GPU_PARTITION,
        mem_mb=memory_mb,
        runtime=runtime(12),
        gpu=one_gpu,
    params:
        launch=launcher,
        expect=expect_gpu,
        settings=lambda w: as_json(
            run=f"{w.experiment}/{w.method}/seed{w.seed}",
            max_length=model_of(w).max_length,
            accuracy=STUDY.evaluations.accuracy if "accuracy" in experiment_of(w).evaluate else None,
            trained_on_validation=STUDY.finetuning.append_validation,
        ),
    shell:
        "{params.launch:q} {input.code[0]} {params.expect} --settings {params.settings:q} --model {input.model:q} "
        "--test {input.test:q} --output {output:q} 2>&1 | tee -i {log:q}"
