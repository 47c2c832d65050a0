# On a cluster only: a check of the site, jobs that an earlier run left in its queue, and a watchdog for jobs that Snakemake has lost.
# Snakemake calls this neither in a dry run nor inside a job.


class ClusterError(WorkflowError):
    """A fault of the cluster side, shown without a traceback: the place to look at is not in these rules."""

    # Neither there for Snakemake's message, nor to be set: the folder's lock, on its way out, would do so.
    __traceback__ = property(lambda self: None, lambda self, traceback: None)


onstart:
    if workflow.executor_plugin.name == "slurm":
        from scalebio.slurm import guard, site

        try:
            asked = [job.resources for job in workflow.dag.needrun_jobs() if not job.is_local]
            named = [{job.get(name) or "" for job in asked} for name in ("slurm_partition", "slurm_account")]
            for warning in site.check(os.environ, *named):
                logger.warning(warning)
            guard.start(workflow, logger, ClusterError)
        except UserError as error:
            raise ClusterError(str(error)) from None
