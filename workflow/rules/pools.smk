# pools: the rows an experiment may use → training, validation and test sets without leakage.
# in: sources/<source>.parquet   out: <experiment>/pool/{train,validation,test}.parquet, pool.json


rule build_pool:
    """Split rows into training, validation and test sets and refuse or drop leaked ones."""
    input:
        code=code("build_pool.py"),
        sources=lambda w: [f"{RESULTS}/sources/{name}.parquet" for name in pool_sources(w)],
    output:
        train=f"{RESULTS}/{{experiment}}/pool/train.parquet",
        validation=f"{RESULTS}/{{experiment}}/pool/validation.parquet",
        test=f"{RESULTS}/{{experiment}}/pool/test.parquet",
        manifest=f"{RESULTS}/{{experiment}}/pool/pool.json",
    log:
        f"{LOGS}/build_pool/{{experiment}}.log",
    benchmark:
        f"{BENCHMARKS}/build_pool/{{experiment}}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=memory(2),
        runtime=runtime(1),
    params:
        launch=launcher,
        settings=lambda w: as_json(
            name=w.experiment,
            experiment={key: getattr(experiment_of(w), key) for key in ("sources", "reference", "leakage")},
            reference=STUDY.references[experiment_of(w).reference],
        ),
        sources=lambda w: [f"{name}={RESULTS}/sources/{name}.parquet" for name in pool_sources(w)],
    shell:
        "{params.launch:q} {input.code[0]} --settings {params.settings:q} --sources {params.sources:q} "
        "--train {output.train:q} --validation {output.validation:q} --test {output.test:q} "
        "--manifest {output.manifest:q} 2>&1 | tee -i {log:q}"
