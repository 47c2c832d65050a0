# ending: what a run says last, where it is read: what it made, or what failed and why. No rules here.
# Snakemake calls neither in a dry run nor inside a job, and of several such blocks only the last.


onsuccess:
    asked = {job.rule.name for job in workflow.dag.targetjobs}
    if asked & {"all", "report"}:
        logger.info(f"The report: {REPORT}")
    # A job can only succeed or fail, and Snakemake ends with 0 or 1. The audit's own status is 0, 1 or 2.
    if "audit" in asked:
        found = json.loads(Path(f"{RESULTS}/audit.json").read_text(encoding="utf-8"))
        if found["exit_code"]:
            raise SystemExit(found["exit_code"])


onerror:
    from scalebio import watching

    # Beside other jobs the message may stand far above.
    for path in log:
        for job in watching.read(Path(path)).failed():
            logger.error(f"Failed: {f'{job.rule} {job.wildcards}'.rstrip()}: {watching.last_words(job, Path())}")
