# tables: results of single runs → tidy CSV tables with a readable twin in Markdown and LaTeX. Figures read nothing else.
# in: <run>/*, <experiment>/mtbench/*, sources/*.json, memory/*.json, gates/*/*.json   out: tables/<name>.{csv,md,tex,provenance.json}

for table in [*RUN_FILES, *JUDGED_FILES, *STUDY_FILES]:
    if table not in TABLES:
        continue

    rule:
        """A tidy table of the study."""
        name:
            f"table_{table}"
        input:
            code=code("make_table.py"),
            files=table_files(table),
            gate=passed("template", *STUDY.run) if table in MEASURED else [],
        output:
            csv=report(
                TABLES[table],
                category="Tables",
                caption="../report/table.rst",
                labels={"table": table, "about": ABOUT_TABLES[table]},
            ),
            markdown=f"{RESULTS}/tables/{table}.md",
            latex=f"{RESULTS}/tables/{table}.tex",
            provenance=f"{RESULTS}/tables/{table}.provenance.json",
        log:
            f"{LOGS}/make_table/{table}.log",
        benchmark:
            f"{BENCHMARKS}/make_table/{table}.tsv"
        localrule: True
        conda:
            "../../envs/plot.yaml"
        threads: 1
        resources:
            mem_mb=memory(1),
            runtime=runtime(0.25),
        params:
            launch=launcher,
            name=table,
            about=ABOUT_TABLES[table],
            settings=table_settings(table),
        shell:
            "{params.launch:q} {input.code[0]} {params.name} --settings {params.settings:q} "
            "--csv {output.csv:q} --markdown {output.markdown:q} --latex {output.latex:q} 2>&1 | tee -i {log:q}"

    # What `--list-target-rules` prints; a docstring in a loop could not differ.
    workflow.get_rule(f"table_{table}").docstring = ABOUT_TABLES[table]


rule table_costs:
    """Time and memory by stage, as measured by the benchmark files of this study's jobs."""
    input:
        code=code("make_table.py"),
        files=[job["path"] for job in benchmark_files()],
    output:
        csv=report(
            TABLES["costs"],
            category="Tables",
            caption="../report/table.rst",
            labels={"table": "costs", "about": ABOUT_TABLES["costs"]},
        ),
        markdown=f"{RESULTS}/tables/costs.md",
        latex=f"{RESULTS}/tables/costs.tex",
        provenance=f"{RESULTS}/tables/costs.provenance.json",
    log:
        f"{LOGS}/make_table/costs.log",
    # Not among those it reads: `benchmark_files` lists the jobs that cost time.
    benchmark:
        f"{BENCHMARKS}/make_table/costs.tsv"
    localrule: True
    conda:
        "../../envs/plot.yaml"
    threads: 1
    resources:
        mem_mb=memory(1),
        runtime=runtime(0.25),
    params:
        launch=launcher,
        about=ABOUT_TABLES["costs"],
        settings=as_json(stages=benchmark_files()),
    shell:
        "{params.launch:q} {input.code[0]} costs --settings {params.settings:q} "
        "--csv {output.csv:q} --markdown {output.markdown:q} --latex {output.latex:q} 2>&1 | tee -i {log:q}"
