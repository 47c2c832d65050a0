# audit: what would run and why, whether it fits, what it costs and what would fail, before anything is spent (`snakemake audit`).
# in: the study, and whatever results there are   out: audit.{md,json,html}; not declared, so that it is made anew each time it is asked for

# How the study would be run, for the plan inside the audit: environments count among what makes results stale.
DEPLOYMENT = [method.name.lower().replace("_", "-") for method in workflow.deployment_settings.deployment_method]


rule audit:
    """What the study would run and cost, and what would fail: memory, time, dollars, licences, leaks (not part of a study)."""
    input:
        code=code("audit.py") + [f"scripts/scalebio/{name}" for name in ("audit/page.html.jinja", "report/style.css")],
    log:
        f"{LOGS}/audit.log",
    localrule: True
    # Declared as for every rule; it runs in Snakemake's own environment, because it plans with Snakemake.
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=memory(4),
        runtime=runtime(0.25),
    params:
        python=sys.executable,
        settings=json.dumps({"config": config}, ensure_ascii=False),
        snakefile=workflow.main_snakefile,
        deployment=f"--sdm {' '.join(DEPLOYMENT)}" if DEPLOYMENT else "",
    shell:
        "{params.python:q} {input.code[0]} --exit-zero --settings {params.settings:q} --snakefile {params.snakefile:q} "
        "{params.deployment} 2>&1 | tee -i {log:q}"
