"""What would fail or mislead in jobs: memory, time limits, a judge without key or money, text read in two ways."""

import re
from collections.abc import Iterator
from pathlib import Path

from scalebio.audit import memory
from scalebio.audit.estimates import Estimate, Machine
from scalebio.audit.findings import FAILS, NOTES, WARNS, Finding, failed_gate
from scalebio.audit.judging import Judging
from scalebio.config import Study
from scalebio.mtbench.endpoints import KEY_VARIABLE

GB, MB, MINUTE = 1e9, 1e6, 60
GRAVITY_OF = {memory.TOO_LARGE: FAILS, memory.TIGHT: WARNS, memory.UNKNOWN: WARNS}
LOCAL = re.compile(r"^https?://(localhost|127\.|\[::1\]|0\.0\.0\.0)")


def fitting(estimates: list[Estimate]) -> Iterator[Finding]:
    """Jobs that do not fit, hardly do, or of which that is not known; one finding for all of one model and kind."""
    for estimate in estimates:
        fit = estimate.fit
        if not estimate.job.needed or fit is None or fit.verdict not in GRAVITY_OF:
            continue
        what = f"{estimate.kind} with `{estimate.model}`: {fit.verdict}"
        if fit.peak and fit.limit:
            what += f", {fit.peak.total / GB:,.1f} GB predicted against the {fit.limited_by}"
        yield Finding(GRAVITY_OF[fit.verdict], "memory", f"models.{estimate.model}.hardware", what, fit.change)


def main_memory(estimates: list[Estimate]) -> Iterator[Finding]:
    """Jobs on GPUs that take more main memory than they ask for."""
    for estimate in estimates:
        job, wanted = estimate.job, estimate.main_memory
        if not job.needed or wanted is None or not job.memory_mb or wanted <= memory.TIGHT_SHARE * job.memory_mb * MB:
            continue
        over = wanted > job.memory_mb * MB
        what = f"{estimate.kind} with `{estimate.model}`: some {wanted / GB:,.0f} GB of main memory predicted"
        yield Finding(
            FAILS if over else WARNS,
            "main memory",
            f"models.{estimate.model}.hardware.memory_gb",
            f"{what}, {job.memory_mb / 1000:,.0f} GB asked for",
            f"raise it to {wanted / memory.TIGHT_SHARE / GB:,.0f}",
        )


def time_limits(estimates: list[Estimate]) -> Iterator[Finding]:
    """Training jobs that would go on for longer than they may; they stop with a checkpoint, and the next attempt goes on."""
    for estimate in estimates:
        job, seconds = estimate.job, estimate.time.seconds
        if not job.needed or job.rule not in ("learn_weights", "finetune", "warm_up") or seconds is None:
            continue
        if job.minutes and seconds > job.minutes * MINUTE:
            what = f"{estimate.kind} with `{estimate.model}`: some {seconds / 3600:,.0f} h predicted, {job.minutes / 60:g} h asked for"
            resumes = job.rule != "warm_up"
            yield Finding(
                WARNS if resumes else FAILS,
                "time",
                f"models.{estimate.model}.hardware.hours" if resumes else f"models.{estimate.model}.warm_up.steps",
                what,
                "raise it, or run with --retries: each attempt goes on from a checkpoint" if resumes else "lower it",
            )


def judge(study: Study, asked: list[Judging], machine: Machine) -> Iterator[Finding]:
    """A hosted judge without a key, or whose cost passes the limit."""
    if not asked:
        return
    settings, key = study.evaluations.mtbench.judge, "evaluations.mtbench.judge"
    if settings.kind == "openai" and not machine.judge_key and not LOCAL.match(settings.base_url):
        yield Finding(
            FAILS,
            "judge",
            f"{key}.base_url",
            f"{settings.base_url} will want a key, and {KEY_VARIABLE} is not set here",
            f"set {KEY_VARIABLE} where mtbench_judgments runs",
        )
    for one in asked:
        if one.dollars is None:
            yield Finding(WARNS, "judge", f"{key}.price", f"{one.calls:,} calls, {one.why}", "state the price")
        elif settings.cost_limit is not None and one.dollars > settings.cost_limit:
            yield Finding(
                FAILS,
                "judge",
                f"{key}.cost_limit",
                f"experiments.{one.experiment}: some {one.dollars:,.0f} dollars, and judging stops at {settings.cost_limit:g}",
                "raise it, or judge fewer models or repeats",
            )


def templates(study: Study, results: Path) -> Iterator[Finding]:
    """Weights learned while rows were read in one way, and used where they are read in another.

    Within an experiment one model's template serves all stages; between experiments each model has its own.
    """
    for name in study.run:
        experiment = study.experiments[name]
        for key, origin in (("weights_from", experiment.weights_from), ("start_from", experiment.start_from)):
            if not origin or origin not in study.experiments:
                continue
            here, there = experiment.model, study.experiments[origin].model
            if here == there:
                continue
            ours, theirs = study.models[here], study.models[there]
            what = f"weights learned with `{there}` ({_template(theirs)}) are used for `{here}` ({_template(ours)})"
            own = not (ours.scratch or ours.chat_template) and _template(ours) == _template(theirs)
            if own or _template(ours) != _template(theirs):
                yield Finding(
                    WARNS,
                    "template",
                    f"experiments.{name}.{key}",
                    f"{what}: rows {'may be' if own else 'are'} read in another way than while the weights were learned",
                    "give both models one `chat_template`; the table `transfer` says what differs",
                )
            else:
                yield Finding(NOTES, "template", f"experiments.{name}.{key}", f"{what}; tokenizers may differ")
        todo = "the file lists which stages differ; make those again"
        yield from failed_gate(study, results, "template", name, todo)


def _template(model) -> str:
    if model.scratch:
        return "our template"
    return f"template {model.chat_template}" if model.chat_template else "its tokenizer's own template"
