# claims: every claim of the paper held against the study's tables (`snakemake claims`).
# in: workflow/claims.yaml, tables/<name>.csv   out: claims.{csv,md,tex,provenance.json}


rule claims:
    """Each claim of the paper: its value, ours with interval, the band, and the verdict, or what a test would need."""
    input:
        code=code("judge_claims.py"),
        claims="workflow/claims.yaml",
        tables=CLAIMS_TABLES.values(),
    output:
        csv=report(
            f"{RESULTS}/claims.csv",
            category="Claims",
            caption="../report/claims.rst",
            labels={"table": "claims", "about": "Claims of the paper, tested or not, with verdicts"},
        ),
        markdown=f"{RESULTS}/claims.md",
        latex=f"{RESULTS}/claims.tex",
        provenance=f"{RESULTS}/claims.provenance.json",
    log:
        f"{LOGS}/claims.log",
    benchmark:
        f"{BENCHMARKS}/claims.tsv"
    localrule: True
    # It has YAML, which the environment of tables and figures has not.
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=memory(1),
        runtime=runtime(0.25),
    params:
        launch=launcher,
        settings=claims_settings(),
    shell:
        "{params.launch:q} {input.code[0]} {input.claims:q} --settings {params.settings:q} "
        "--csv {output.csv:q} --markdown {output.markdown:q} --latex {output.latex:q} 2>&1 | tee -i {log:q}"
