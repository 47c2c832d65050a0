# math: the fine-tuned models of an experiment → answers to GSM8K and MATH → graded answers → accuracies and comparisons.
# in: <run>/model/, a hub or a file   out: downloads/math/<benchmark>.{jsonl,json}, <run>/math/{answers,graded}.jsonl,
#                                          <run>/math/scores.csv, <experiment>/math/differences.csv

MATH = STUDY.evaluations.math

if MATH:

    MATH_BENCHMARKS = MATH.benchmarks.named
    MATH_QUESTIONS = [f"{RESULTS}/downloads/math/{name}.jsonl" for name in MATH_BENCHMARKS]
    MATH_HUB = [name for name, benchmark in MATH_BENCHMARKS.items() if benchmark.hub and not STUDY.offline_data]

    # Compute nodes often have no network.
    localrules:
        fetch_math,

    rule fetch_math:
        """The questions of one benchmark with their known answers, from a file or the hub."""
        input:
            code=code("fetch_math.py"),
            raw=math_file,
        output:
            questions=f"{RESULTS}/downloads/math/{{benchmark}}.jsonl",
            manifest=f"{RESULTS}/downloads/math/{{benchmark}}.json",
        log:
            f"{LOGS}/fetch_math/{{benchmark}}.log",
        benchmark:
            f"{BENCHMARKS}/fetch_math/{{benchmark}}.tsv"
        wildcard_constraints:
            benchmark=one_of(MATH_BENCHMARKS),
        # Only what goes through the network is tried again.
        retries: 2 if MATH_HUB else 0
        conda:
            "../../envs/train.yaml"
        threads: 1
        resources:
            mem_mb=memory(2),
            runtime=runtime(1),
        params:
            launch=launcher,
            settings=lambda w: as_json(
                benchmark=w.benchmark,
                origin=MATH_BENCHMARKS[w.benchmark].model_dump(mode="json", exclude_none=True, exclude={"limit"}),
                offline_data=STUDY.offline_data if MATH_BENCHMARKS[w.benchmark].hub else None,
            ),
        shell:
            "{params.launch:q} {input.code[0]} --settings {params.settings:q} --output {output.questions:q} "
            "--manifest {output.manifest:q} 2>&1 | tee -i {log:q}"

    rule answer_math:
        """Greedy answers of the fine-tuned model, through its own chat template."""
        input:
            code=code("answer_math.py"),
            model=f"{RESULTS}/{RUN}/model/provenance.json",
            questions=MATH_QUESTIONS,
            template=MATH.chat_template or [],
        output:
            answers=f"{RESULTS}/{RUN}/math/answers.jsonl",
            provenance=f"{RESULTS}/{RUN}/math/answers.provenance.json",
        log:
            f"{LOGS}/answer_math/{RUN}.log",
        benchmark:
            f"{BENCHMARKS}/answer_math/{RUN}.tsv"
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
            journal=f"{RESULTS}/{RUN}/math/answers.journal",
            settings=lambda w: as_json(
                limits={name: benchmark.limit for name, benchmark in MATH_BENCHMARKS.items()},
                prompt=MATH.prompt,
                max_new_tokens=MATH.max_new_tokens,
                batch=MATH.batch,
                max_length=MATH.max_length or model_of(w).max_length,
                engine=MATH.engine,
                chat_template=MATH.chat_template,
            ),
        shell:
            "{params.launch:q} {input.code[0]} {params.expect} --settings {params.settings:q} --model {input.model:q} "
            "--questions {input.questions:q} --journal {params.journal:q} --output {output.answers:q} 2>&1 | tee -i {log:q}"

    rule score_math:
        """Graded answers of one model and how many are right, with intervals; what could not be compared is counted."""
        input:
            code=code("score_math.py"),
            questions=MATH_QUESTIONS,
            answers=f"{RESULTS}/{RUN}/math/answers.jsonl",
        output:
            graded=f"{RESULTS}/{RUN}/math/graded.jsonl",
            scores=f"{RESULTS}/{RUN}/math/scores.csv",
            provenance=f"{RESULTS}/{RUN}/math/scores.provenance.json",
        log:
            f"{LOGS}/score_math/{RUN}.log",
        benchmark:
            f"{BENCHMARKS}/score_math/{RUN}.tsv"
        conda:
            "../../envs/train.yaml"
        threads: 1
        resources:
            # An answer that grows for all of its five seconds took 0.6 GB after two.
            mem_mb=memory(4),
            runtime=runtime(4),
        params:
            launch=launcher,
        shell:
            "{params.launch:q} {input.code[0]} --questions {input.questions:q} --answers {input.answers:q} "
            "--graded {output.graded:q} --scores {output.scores:q} 2>&1 | tee -i {log:q}"

    rule compare_math:
        """Paired differences between methods with intervals and an exact test, question by question."""
        input:
            code=code("compare_math.py"),
            graded=lambda w: [run_path(run, "math/graded.jsonl") for run in runs(w.experiment)],
        output:
            differences=f"{RESULTS}/{{experiment}}/math/differences.csv",
            provenance=f"{RESULTS}/{{experiment}}/math/differences.provenance.json",
        log:
            f"{LOGS}/compare_math/{{experiment}}.log",
        benchmark:
            f"{BENCHMARKS}/compare_math/{{experiment}}.tsv"
        conda:
            "../../envs/plot.yaml"
        threads: 1
        resources:
            mem_mb=memory(2),
            runtime=runtime(0.5),
        params:
            launch=launcher,
            settings=lambda w: as_json(
                runs=[{key: run[key] for key in ("method", "seed")} for run in runs(w.experiment)],
                baseline=baseline(w.experiment),
            ),
        shell:
            "{params.launch:q} {input.code[0]} --settings {params.settings:q} --graded {input.graded:q} "
            "--differences {output.differences:q} 2>&1 | tee -i {log:q}"
