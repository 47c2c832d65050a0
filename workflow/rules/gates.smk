# gates: checks of pools, runs and controls → verdicts; a fatal one that failed stops what waits for its mark.
# in: pool, questions, <run>/*, tables/weights.csv   out: gates/<gate>/<experiment>.{json,passed}


rule check_leakage:
    """Look for validation, test and benchmark questions in training rows, the same or nearly."""
    input:
        unpack(benchmark_questions),
        code=code("check_leakage.py"),
        train=f"{RESULTS}/{{experiment}}/pool/train.parquet",
        validation=f"{RESULTS}/{{experiment}}/pool/validation.parquet",
        test=f"{RESULTS}/{{experiment}}/pool/test.parquet",
    output:
        f"{RESULTS}/gates/leakage/{{experiment}}.json",
    log:
        f"{LOGS}/check_leakage/{{experiment}}.log",
    benchmark:
        f"{BENCHMARKS}/check_leakage/{{experiment}}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        # 100,000 prompts of 60 words took 1.2 GB and 11 s.
        mem_mb=memory(4),
        runtime=runtime(1),
    params:
        launch=launcher,
        mtbench=lambda w, input: f"--mtbench {input.mtbench}" if "mtbench" in input.keys() else "",
        math=lambda w, input: f"--math {input.math}" if "math" in input.keys() else "",
        settings=lambda w: as_json(experiment=w.experiment, words=STUDY.gates.words, similarity=STUDY.gates.similarity),
    shell:
        "{params.launch:q} {input.code[0]} --settings {params.settings:q} --train {input.train:q} "
        "--validation {input.validation:q} --test {input.test:q} {params.mtbench} {params.math} "
        "--output {output:q} 2>&1 | tee -i {log:q}"


rule check_templates:
    """Compare tokenizer and chat template of all stages of an experiment's runs."""
    input:
        code=code("check_templates.py"),
        files=lambda w: [file for stages in reading_stages(w.experiment).values() for file in stages.values()],
    output:
        f"{RESULTS}/gates/template/{{experiment}}.json",
    log:
        f"{LOGS}/check_templates/{{experiment}}.log",
    benchmark:
        f"{BENCHMARKS}/check_templates/{{experiment}}.tsv"
    localrule: True
    conda:
        "../../envs/plot.yaml"
    threads: 1
    resources:
        mem_mb=memory(1),
        runtime=runtime(0.25),
    params:
        launch=launcher,
        settings=lambda w: as_json(experiment=w.experiment, runs=reading_stages(w.experiment)),
    shell:
        "{params.launch:q} {input.code[0]} --settings {params.settings:q} --output {output:q} 2>&1 | tee -i {log:q}"


rule check_control:
    """Hold the weights of a control against its known outcome."""
    input:
        code=code("check_control.py"),
        weights=TABLES["weights"],
    output:
        f"{RESULTS}/gates/controls/{{experiment}}.json",
    log:
        f"{LOGS}/check_control/{{experiment}}.log",
    benchmark:
        f"{BENCHMARKS}/check_control/{{experiment}}.tsv"
    localrule: True
    conda:
        "../../envs/plot.yaml"
    threads: 1
    resources:
        mem_mb=memory(1),
        runtime=runtime(0.25),
    params:
        launch=launcher,
        settings=lambda w: as_json(**control_settings(w.experiment)),
    shell:
        "{params.launch:q} {input.code[0]} --settings {params.settings:q} --weights {input.weights:q} "
        "--output {output:q} 2>&1 | tee -i {log:q}"


rule clear_gate:
    """Stop at a failed gate that is fatal. Apart from what judges, so that a failed gate's verdict is kept."""
    input:
        code=code("clear_gate.py"),
        verdict=verdict_file("{gate}", "{experiment}"),
    output:
        passed_file("{gate}", "{experiment}"),
    log:
        f"{LOGS}/clear_gate/{{gate}}/{{experiment}}.log",
    benchmark:
        f"{BENCHMARKS}/clear_gate/{{gate}}/{{experiment}}.tsv"
    wildcard_constraints:
        gate=one_of(FATAL),
    localrule: True
    conda:
        "../../envs/plot.yaml"
    threads: 1
    resources:
        mem_mb=memory(1),
        runtime=runtime(0.25),
    params:
        launch=launcher,
    shell:
        "{params.launch:q} {input.code[0]} --gate {wildcards.gate} --verdict {input.verdict:q} "
        "--output {output:q} 2>&1 | tee -i {log:q}"
