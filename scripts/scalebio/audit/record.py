"""An audit as one JSON document, from which the pages are made; numbers in GB (10⁹ bytes), hours and US dollars, None where not known."""

from collections.abc import Iterable

from scalebio.audit import explain, findings, sources
from scalebio.audit.estimates import Estimate
from scalebio.audit.findings import Finding
from scalebio.audit.judging import Judging
from scalebio.audit.plan import STALE, own_reasons
from scalebio.audit.sources import Supply
from scalebio.config import Study

GB, DIGITS = 1e9, 6
VERDICTS = {findings.CLEAN: "clean", findings.WOULD_FAIL: "would fail", findings.RESULTS_STALE: "results stale"}


def document(
    study: Study,
    estimates: list[Estimate],
    found: list[Finding],
    asked: list[Judging],
    known: dict[str, Supply],
) -> dict:
    """{"study", "question", "verdict", "exit_code", "totals", "findings", "stale", "jobs", "sources", "judge"}."""
    stale = [one.job for one in estimates if one.job.state == STALE]
    code = findings.exit_code(found, len(stale))
    return {
        "study": study.study,
        "question": study.question,
        "use": study.use,
        "verdict": VERDICTS[code],
        "exit_code": code,
        "totals": totals(estimates, asked),
        "findings": [vars(finding) for finding in findings.ordered(found)],
        "stale": [
            {"job": job.name, "files": job.outputs, "why": [reason.text for reason in own_reasons(job)]}
            for job in explain.causes([one.job for one in estimates])
        ],
        "jobs": [_job(estimate) for estimate in estimates],
        "sources": _sources(study, known),
        "judge": [vars(one) for one in asked],
    }


def _job(estimate: Estimate) -> dict:
    job, fit = estimate.job, estimate.fit
    held = fit.peak if fit else None
    parts = ("parameters", "gradients", "states", "activations", "logits", "base")
    return {
        "rule": job.rule,
        "stage": estimate.stage,
        "kind": estimate.kind or job.rule,
        "model": estimate.model,
        "wildcards": job.wildcards,
        "outputs": job.outputs,
        "state": job.state,
        "why": [{"kind": reason.kind, "text": reason.text} for reason in job.reasons],
        "gpus": job.gpus,
        "nodes": job.nodes,
        "cores": job.threads,
        "main_memory_gb": _rounded(job.memory_mb and job.memory_mb / 1000),
        "main_memory_needed_gb": _rounded(estimate.main_memory and estimate.main_memory / GB),
        "peak_memory_gb": _rounded(held and held.total / GB),
        "memory_parts_gb": {part: _rounded(getattr(held, part) / GB) for part in parts} if held else None,
        "limit_gb": _rounded(fit.limit / GB if fit and fit.limit else None),
        "limited_by": fit.limited_by if fit else "",
        "verdict": fit.verdict if fit else "",
        "change": fit.change if fit else "",
        "hours": _rounded(estimate.hours),
        "gpu_hours": _rounded(estimate.gpu_hours),
        "time_source": estimate.time.source,
        "disk_gb": _rounded(None if estimate.disk is None else estimate.disk / GB),
        "checkpoint_gb": _rounded(estimate.checkpoints / GB),
        "download_gb": [_rounded(bytes / GB) for bytes in estimate.download] if estimate.download else None,
        "revision": estimate.revision,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)


def totals(estimates: list[Estimate], asked: list[Judging]) -> dict:
    """Sums over the jobs that would run; what is not known is left out, and `not_known` says of how many jobs."""
    needed = [one for one in estimates if one.job.needed]
    training = [one for one in needed if one.kind]
    fetched = [one for one in needed if one.job.rule == "fetch_model" and one.revision != sources.NO_COMMIT]
    dollars = [one.dollars for one in asked]
    return {
        "jobs": len(estimates),
        "to_run": len(needed),
        "stale": sum(one.job.state == STALE for one in needed),
        "gpu_hours": _sum(one.gpu_hours for one in needed),
        "cpu_hours": _sum(one.hours * one.job.threads for one in needed if not one.job.gpus and one.hours is not None),
        "most_gpus": max((one.job.gpus for one in needed), default=0),
        "dollars": None if None in dollars else _sum(dollars),
        "disk_gb": _sum(one.disk / GB for one in needed if one.disk is not None),
        "checkpoint_gb": max((_rounded(one.checkpoints / GB) for one in needed), default=0),
        "download_gb": [_sum(one.download[end] / GB for one in fetched if one.download) for end in (0, 1)],
        "not_known": {
            "gpu_hours": sum(one.gpu_hours is None for one in needed),
            "cpu_hours": sum(one.hours is None for one in needed if not one.job.gpus),
            "disk_gb": sum(one.disk is None for one in training),
            "download_gb": sum(one.download is None for one in fetched)
            + sum(one.job.rule == "fetch_hub_source" for one in needed),
        },
    }


def _sum(values: Iterable[float | None]) -> float:
    return _rounded(sum(value for value in values if value is not None))


def _sources(study: Study, known: dict[str, Supply]) -> list[dict]:
    shares = sources.shares(study, known)
    found = []
    for name, source in sources.used_sources(study).items():
        hub = None if study.offline_data else source.hub
        mine = [share for share in shares if share.source == name]
        found.append(
            {
                "source": name,
                "origin": source.file or (source.hub and source.hub.id) or source.generator.kind,
                "revision": sources.revision(hub),
                "gated": bool(hub and hub.gated),
                "licence": source.licence,
                "rows": known[name].rows,
                "rows_source": known[name].source,
                "trains": bool(mine),
                "share_once": _least(share.once for share in mine),
                "share_most": _least(share.most for share in mine),
            }
        )
    return found


def _least(values: Iterable[float | None]) -> float | None:
    """The smallest that is known: of several experiments the one with the largest mixture."""
    given = [value for value in values if value is not None]
    return _rounded(min(given)) if given else None
