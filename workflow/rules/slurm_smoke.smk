# slurm_smoke: does this cluster give what training needs? Three jobs of seconds and a verdict, asked for by name
# (`snakemake slurm_smoke --profile slurm`), no part of any study.
# in: nothing   out: nothing kept, so that each time is a new trial; the verdict in logs/slurm_smoke/

SMOKE = "results/slurm_smoke"
SMOKE_HARDWARE = {"cpu": Hardware(), "gpu": Hardware(gpus=1), "collective": Hardware(processes=2)}


smoke_hardware = lambda wildcards, attempt=1: SMOKE_HARDWARE[wildcards.trial]


rule try_cluster:
    """One trial: a CPU, a GPU, or two processes that talk."""
    input:
        code=code("slurm_smoke.py"),
    output:
        temp(f"{SMOKE}/{{trial}}.json"),
    log:
        "logs/slurm_smoke/{trial}.log",
    wildcard_constraints:
        trial=one_of(SMOKE_HARDWARE),
    conda:
        "../../envs/train.yaml"
    threads: training_threads(smoke_hardware)
    resources:
        **gpu_partition(lambda w, attempt: smoke_hardware(w).gpus),
        mem_mb=memory(2),
        runtime=2,
        nodes=1,
        gpu=lambda w: smoke_hardware(w).gpus,
    params:
        launch=training_launcher(smoke_hardware),
        settings=lambda w: as_json(trial=w.trial),
    shell:
        "{params.launch} {input.code[0]} --settings {params.settings:q} --output {output:q} 2>&1 | tee -i {log:q}"


rule slurm_smoke:
    """Is this cluster ready for training? Three small jobs and a verdict (not part of a study)."""
    input:
        code=code("slurm_smoke.py"),
        results=expand(f"{SMOKE}/{{trial}}.json", trial=SMOKE_HARDWARE),
    log:
        "logs/slurm_smoke/verdict.log",
    localrule: True
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=memory(1),
        runtime=2,
    params:
        launch=launcher,
    shell:
        "{params.launch:q} {input.code[0]} --results {input.results:q} 2>&1 | tee -i {log:q}"
