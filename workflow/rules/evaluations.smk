# evaluations: the fine-tuned model → test loss, task accuracy, MT-Bench scores.
# in: <run>/model/, pool   out: <run>/metrics.json, <run>/mtbench/{answers,judgments}.jsonl, <run>/mtbench/scores.csv

MTBENCH = STUDY.evaluations.mtbench
DOWNLOADS = f"{RESULTS}/downloads"


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
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=12 * 60,
    params:
        launch=launcher,
        settings=lambda w: as_json(
            run=f"{w.experiment}/{w.method}/seed{w.seed}",
            max_length=model_of(w).max_length,
            accuracy=STUDY.evaluations.accuracy if "accuracy" in experiment_of(w).evaluate else None,
        ),
    shell:
        "{params.launch:q} {input.code[0]} --settings {params.settings:q} --model {input.model:q} "
        "--test {input.test:q} --output {output:q} 2>&1 | tee -i {log:q}"


if MTBENCH:

    rule mtbench_questions:
        """The two-turn questions: MT-Bench's own 80, or questions in its format made from the test set."""
        input:
            code=code("mtbench_questions.py"),
            test=f"{RESULTS}/{{experiment}}/pool/test.parquet",
        output:
            f"{RESULTS}/{{experiment}}/mtbench/questions.jsonl",
        log:
            f"{LOGS}/mtbench_questions/{{experiment}}.log",
        benchmark:
            f"{BENCHMARKS}/mtbench_questions/{{experiment}}.tsv"
        conda:
            "../../envs/train.yaml"
        threads: 1
        resources:
            mem_mb=2000,
            runtime=30,
        params:
            launch=launcher,
            downloads=DOWNLOADS,
            settings=as_json(mtbench=MTBENCH, seed=0),
        shell:
            "{params.launch:q} {input.code[0]} --settings {params.settings:q} --test {input.test:q} "
            "--downloads {params.downloads:q} --output {output:q} 2>&1 | tee -i {log:q}"

    rule mtbench_answers:
        """Two turns of answers by the fine-tuned model, through its own chat template."""
        input:
            code=code("mtbench_answers.py"),
            model=f"{RESULTS}/{RUN}/model/provenance.json",
            questions=f"{RESULTS}/{{experiment}}/mtbench/questions.jsonl",
        output:
            f"{RESULTS}/{RUN}/mtbench/answers.jsonl",
        log:
            f"{LOGS}/mtbench_answers/{RUN}.log",
        benchmark:
            f"{BENCHMARKS}/mtbench_answers/{RUN}.tsv"
        conda:
            "../../envs/train.yaml"
        threads: 1
        resources:
            mem_mb=memory_mb,
            runtime=12 * 60,
        params:
            launch=launcher,
            model=subpath(input.model, parent=True),
            settings=lambda w: as_json(
                max_new_tokens=MTBENCH.max_new_tokens,
                batch=MTBENCH.batch,
                max_length=MTBENCH.max_length or model_of(w).max_length,
                seed=int(w.seed),
                model_id=f"{w.experiment}-{w.model}-{w.method}-seed{w.seed}",
            ),
        shell:
            "{params.launch:q} {input.code[0]} --settings {params.settings:q} --model {params.model:q} "
            "--questions {input.questions:q} --output {output:q} 2>&1 | tee -i {log:q}"

    rule mtbench_judgments:
        """Ratings of the answers by the study's judge, over HTTP."""
        input:
            code=code("mtbench_judgments.py"),
            questions=f"{RESULTS}/{{experiment}}/mtbench/questions.jsonl",
            answers=f"{RESULTS}/{RUN}/mtbench/answers.jsonl",
        output:
            f"{RESULTS}/{RUN}/mtbench/judgments.jsonl",
        log:
            f"{LOGS}/mtbench_judgments/{RUN}.log",
        benchmark:
            f"{BENCHMARKS}/mtbench_judgments/{RUN}.tsv"
        conda:
            "../../envs/train.yaml"
        threads: 1
        resources:
            mem_mb=2000,
            runtime=12 * 60,
        params:
            launch=launcher,
            downloads=DOWNLOADS,
            settings=as_json(judge=MTBENCH.judge, prompts=MTBENCH.prompts),
        shell:
            "{params.launch:q} {input.code[0]} --settings {params.settings:q} --questions {input.questions:q} "
            "--answers {input.answers:q} --downloads {params.downloads:q} --output {output:q} 2>&1 | tee -i {log:q}"

    rule mtbench_scores:
        """Mean ratings with intervals, by category and turn; failures counted."""
        input:
            code=code("mtbench_scores.py"),
            judgments=f"{RESULTS}/{RUN}/mtbench/judgments.jsonl",
        output:
            f"{RESULTS}/{RUN}/mtbench/scores.csv",
        log:
            f"{LOGS}/mtbench_scores/{RUN}.log",
        benchmark:
            f"{BENCHMARKS}/mtbench_scores/{RUN}.tsv"
        conda:
            "../../envs/plot.yaml"
        threads: 1
        resources:
            mem_mb=2000,
            runtime=30,
        params:
            launch=launcher,
            settings=as_json(seed=0),
        shell:
            "{params.launch:q} {input.code[0]} --settings {params.settings:q} --judgments {input.judgments:q} "
            "--output {output:q} 2>&1 | tee -i {log:q}"
