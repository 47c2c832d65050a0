"""Ties watchdog and orphans to a run of Snakemake; called once, when the first job is about to be submitted.

It reads what Snakemake's scheduler and its SLURM executor know. Neither offers that as an interface; the attributes
used here are those of snakemake 9.27 and snakemake-executor-plugin-slurm 2.8, and a test runs both.
"""

import atexit
import contextlib
import os

from scalebio.slurm import orphans, queue, runs, watchdog


def start(workflow, logger, fault: type[Exception]) -> None:
    """Settle the jobs of earlier runs, announce this run in the folder, and watch its jobs.

    `fault` is the exception that ends a run. Raises UserError where orphans are in the way (see `orphans.settle`).
    """
    scheduler = workflow.scheduler
    executor = scheduler._executor
    limit = 60 * watchdog.minutes(os.environ)
    entries = orphans.runs_folder(workflow.workdir_init)

    def lives(name: str) -> bool:
        return runs.alive(entries, name, logger.info)

    orphans.settle(workflow.workdir_init, workflow.executor_settings.jobname_prefix, lives, logger.warning)
    run = runs.Run(entries, executor.run_uuid)
    atexit.register(run.remove)
    submitted = record_submissions(executor)

    def running() -> list:
        with scheduler._lock:
            # Those that have ended wait there for the main thread, which waits for late files meanwhile.
            ended = {*scheduler._tofinish, *scheduler._toerror}
            return [job for job in scheduler.running if job not in ended]

    def waited() -> list[watchdog.Waited]:
        return [_waited(job, submitted) for job in running() if not job.is_local]

    def renew() -> None:
        # A full disk must not stop the watchdog.
        with contextlib.suppress(OSError):
            run.renew()

    watchdog.Watchdog(
        waited=waited,
        queue=lambda: queue.jobs_of_run(executor.run_uuid),
        busy_here=lambda: any(job.is_local for job in running()),
        warn=logger.warning,
        end=lambda message: scheduler.executor_error_callback(fault(message)),
        limit=limit,
        alive=renew,
    ).start()


def record_submissions(executor) -> dict:
    """A dictionary that fills with (attempt, SLURM's number, its log) of every job that the executor submits.

    The executor's own list will not do: it is what loses jobs.
    """
    submitted = {}
    report = executor.report_job_submission

    def recording(info, *more, **named):
        submitted[info.job] = (info.job.attempt, info.external_jobid, str((info.aux or {}).get("slurm_logfile", "")))
        return report(info, *more, **named)

    executor.report_job_submission = recording
    return submitted


def _waited(job, submitted: dict) -> watchdog.Waited:
    attempt, number, slurm_log = submitted.get(job, (None, None, ""))
    if attempt != job.attempt:  # this attempt is on its way
        number, slurm_log = None, ""
    values = "" if job.is_group() else ", ".join(f"{key}={value}" for key, value in job.wildcards_dict.items())
    logs = tuple(str(log) for log in ([slurm_log] if slurm_log else []) + list(job.log or []))
    return watchdog.Waited((job, job.attempt, number), number, f"{job.name} ({values})" if values else job.name, logs)
