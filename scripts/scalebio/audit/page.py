"""An audit for people: a `Document` from its JSON, and that as Markdown and as one HTML page that opens without a network."""

import re
from collections import Counter
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from scalebio.audit import checks, disk, memory, times
from scalebio.audit.estimates import OTHER, STAGES
from scalebio.report import page as report_page
from scalebio.report import rendering
from scalebio.tables.readable import MARKS, MISSING, Document, Grid, document, grid, name, number, strong

# More findings that differ in their key alone are one line, where they are of these kinds.
ALONE, BY_DOZENS = 3, ("gated", "revision", "licence")
# So many names in one cell.
NAMED = 6
ORDER = [*STAGES, OTHER]
COUNTED = {"follows": "after another job", "not there": "not made yet", "set of inputs": "other set of inputs"}
ASSUMPTIONS = [
    ("jobs and reasons", "a dry run of Snakemake itself"),
    (
        "memory of training",
        "parameters, gradients, optimiser states, activations and logits in each process, on a model without values "
        "(`scalebio/predicted_memory.py`), against the card's nominal memory or the main memory asked for",
    ),
    (
        "memory of answering and test loss",
        "parameters in float32, keys and values of a batch, and logits; halved where vLLM answers",
    ),
    (
        "verdict",
        f"{memory.FITS} up to {memory.TIGHT_SHARE:.0%} of what there is, {memory.TIGHT} up to all of it (ours)",
    ),
    (
        "time",
        "a benchmark file of the same job or another seed of it; else 2 operations a parameter and token forward, 4 backward, 2 "
        "for recomputing, each example at full length, so rather too long",
    ),
    (
        "speed of a GPU",
        f"{times.UTILISATION:.0%} of the peak on its data sheet (ours; published: .44 to .52, arXiv 2104.04473), and of its "
        "bandwidth where answers are generated, and of its way to other cards where a model is split",
    ),
    (
        "speed of a CPU core",
        f"{times.CPU_SMALL / 1e9:.0f} billion operations a second below a million parameters, {times.CPU_LARGE / 1e9:.0f} above "
        "(docs/measured.md)",
    ),
    (
        "disk",
        "models in float32 as they stay in the results; checkpoints are those of the largest job while it runs, "
        f"{disk.KEPT} at most. Rows, tables and logs are not counted",
    ),
    ("downloads", "published models have two to four bytes a parameter; of data sets nothing is known before"),
    ("licences", "what their names say, held against `use`; of models none is stated in a study. No legal advice"),
]


def readable(audit: dict, note: str = "") -> Document:
    """The whole audit in tables, the verdict first; `note` stands behind it."""
    sections = [("Findings", _findings(audit)), ("In all", _totals(audit)), ("What would run", _stages(audit))]
    if audit["stale"]:
        sections.append(("Stale results, by what changed", _stale(audit)))
    sections += [("Memory and time", _models(audit)), ("Sources", _sources(audit))]
    if audit["judge"]:
        sections.append(("Judge", _judge(audit)))
    sections.append(
        ("Where numbers come from", grid(["number", "from"], [[one, _names(two)] for one, two in ASSUMPTIONS], left=2))
    )
    return document(f"Audit of study {audit['study']}", " ".join(filter(None, [_summary(audit), note])), sections)


def markdown(audit: dict, note: str = "") -> str:
    """The audit as Markdown."""
    return readable(audit, note).markdown()


def terminal(audit: dict, paths: list[Path]) -> str:
    """The verdict, what would fail or mislead, and where the rest stands; plain text. Of warnings that studies of the hub have by the
    dozen, only the page tells."""
    plain = str.maketrans("", "", "".join(MARKS))
    lines = [_summary(audit).translate(plain)]
    for finding in audit["findings"]:
        if finding["gravity"] == checks.FAILS or (
            finding["gravity"] == checks.WARNS and finding["kind"] not in BY_DOZENS
        ):
            lines.append(f"  {finding['gravity']}: {finding['kind']}, {finding['key']}: {finding['what']}")
            lines += [f"      → {finding['do']}"] if finding["do"] else []
    lines += [f"  stale: {one['job']}: {'; '.join(one['why'])}" for one in audit["stale"]]
    return "\n".join([*lines, "Written: " + ", ".join(path.as_posix() for path in paths)])


def html(audit: dict) -> str:
    """The audit as one HTML page; every job of the study is in it, folded."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    shown = readable(audit)
    return environment.get_template("page.html.jinja").render(
        title=shown.title,
        summary=rendering.inline(shown.explanation),
        question=audit["question"] or "",
        sections=[
            {"id": heading.lower().replace(" ", "-").replace(",", ""), "title": heading, "html": rendering.show(body)}
            for heading, body in shown.sections
        ],
        jobs=rendering.show(_jobs(audit)),
        count=len(audit["jobs"]),
        style=Markup((report_page.FOLDER / "style.css").read_text(encoding="utf-8")),
    )


def _summary(audit: dict) -> str:
    totals, grave = audit["totals"], Counter(finding["gravity"] for finding in audit["findings"])
    said = [f"{strong(audit['verdict'])} (exit code {audit['exit_code']})."]
    stale = f", {totals['stale']} of them because results are stale" if totals["stale"] else ""
    said.append(f"{totals['to_run']} of {totals['jobs']} jobs would run{stale}.")
    said.append(
        f"Findings that would fail: {grave['would fail']}; warnings: {grave['warning']}; notes: {grave['note']}."
    )
    return " ".join(said)


# --- sections ------------------------------------------------------------------------------------------------------------


def _findings(audit: dict) -> Grid:
    groups: dict[tuple, list[dict]] = {}
    for finding in audit["findings"]:
        groups.setdefault((finding["gravity"], finding["kind"], finding["do"]), []).append(finding)
    rows = []
    for (gravity, kind, do), members in groups.items():
        # Memory and the like are about each job by itself.
        several = len(members) > ALONE and kind in BY_DOZENS
        for finding in members[:1] if several else members:
            keys = [one["key"] for one in members] if several else [finding["key"]]
            what = _names(finding["what"]) + (f" ({len(members) - 1} more likewise)" if several else "")
            grave = strong(gravity) if gravity == checks.FAILS else gravity
            rows.append([grave, kind, what, _names(do) or MISSING, _list(keys)])
    header = ["", "about", "what", "what to do", "where"]
    return grid(header, rows, "" if rows else "Nothing was found.", left=5)


def _list(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(map(name, names[:NAMED])) + more


def _names(text: str) -> str:
    """Text with `names` in it as marked text."""
    parts = text.split("`")
    return "".join(name(part) if place % 2 else part for place, part in enumerate(parts)) if len(parts) % 2 else text


def _on_gpus(audit: dict) -> bool:
    """Whether any job of the study asks for a GPU; else nothing is said of them."""
    return any(job["gpus"] for job in audit["jobs"])


def _totals(audit: dict) -> Grid:
    totals, missing = audit["totals"], audit["totals"]["not_known"]

    def row(what: str, value: str, unknown: str = "") -> list[str]:
        return [what, value, unknown or MISSING]

    def of(key: str, what: str) -> str:
        return f"{missing[key]} {what}" if missing[key] else ""

    low, high = totals["download_gb"]
    gpus, dollars = _on_gpus(audit), totals["dollars"]
    shown = [
        (gpus, row("GPU-hours", f"{totals['gpu_hours']:,.1f}", of("gpu_hours", "jobs"))),
        (True, row("CPU-hours", f"{totals['cpu_hours']:,.2f}", of("cpu_hours", "jobs"))),
        (gpus, row("GPUs of one job, at most", str(totals["most_gpus"]))),
        (audit["judge"], row("judge, US dollars", "not known" if dollars is None else f"{dollars:,.2f}")),
        (True, row("models on disk, GB", f"{totals['disk_gb']:,.2f}", of("disk_gb", "jobs"))),
        (True, row("checkpoints of the largest job while it runs, GB", f"{totals['checkpoint_gb']:,.2f}")),
        (
            high or missing["download_gb"],
            row("models to download, GB", f"{low:,.1f} … {high:,.1f}", of("download_gb", "models and data sets")),
        ),
    ]
    rows = [line for there, line in shown if there]
    return grid(["what", "in all", "not known of"], rows)


def _stages(audit: dict) -> Grid:
    on_gpus = _on_gpus(audit)
    stages: dict[str, list[dict]] = {}
    for job in sorted(audit["jobs"], key=lambda job: ORDER.index(job["stage"])):
        stages.setdefault(job["stage"], []).append(job)
    rows = []
    for stage, jobs in stages.items():
        needed = [job for job in jobs if job["state"] != "done"]
        # What follows from another job says less than what a job has of its own.
        why = Counter()
        for job in needed:
            kinds = [reason["kind"] for reason in job["why"]]
            why.update([kind for kind in kinds if kind != "follows"] or kinds)
        reasons = ", ".join(f"{COUNTED.get(kind, kind)} {count}" for kind, count in why.most_common())
        rows.append([stage, reasons or MISSING, str(len(jobs)), str(len(needed))])
        if on_gpus:
            hours = [job["gpu_hours"] for job in needed]
            gpus = max((job["gpus"] for job in needed), default=0)
            rows[-1] += [str(gpus), MISSING if None in hours or not sum(hours) else f"{sum(hours):,.1f}"]
    header = ["stage", "why", "jobs", "would run"]
    return grid(header + ["GPUs each, at most", "GPU-hours"] * on_gpus, rows, left=2)


def _stale(audit: dict) -> Grid:
    rows = [[name(one["job"]), "; ".join(map(_names, one["why"]))] for one in audit["stale"]]
    note = "Results that only follow from these are not listed; `--explain FILE` shows the way to any of them."
    return grid(["job", "why its results are stale"], rows, _names(note), left=2)


def _models(audit: dict) -> Grid:
    on_gpus = _on_gpus(audit)
    groups: dict[tuple, list[dict]] = {}
    for job in audit["jobs"]:
        if job["verdict"] and job["state"] != "done":
            groups.setdefault((job["model"], job["kind"], job["gpus"]), []).append(job)
    models = list(dict.fromkeys(model for model, _, _ in groups))

    def place(job: dict) -> int:
        return ORDER.index(job["stage"])

    rows = []
    for (model, kind, gpus), jobs in sorted(
        groups.items(), key=lambda item: (models.index(item[0][0]), place(item[1][0]))
    ):
        first, hours = jobs[0], [job["hours"] for job in jobs if job["hours"] is not None]
        verdict = strong(first["verdict"]) if first["verdict"] == memory.TOO_LARGE else first["verdict"]
        cells = [
            name(model),
            _names(kind),
            verdict,
            first["limited_by"] or MISSING,
            re.split(r": | \(", first["time_source"])[0],
        ]
        cells += [str(len(jobs)), *[str(gpus)] * on_gpus, _hours(max(hours)) if hours else MISSING]
        rows.append([*cells, _gb(first["peak_memory_gb"]), *_parts(first)])
    note = "Hours and GB of each job and, where there are several, process: at most what stands here."
    header = ["model", "job", "verdict", "there is", "time is", "jobs", *["GPUs"] * on_gpus, "hours", "peak GB"]
    return grid([*header, "weights", "gradients, states", "the rest"], rows, note, left=5)


def _parts(job: dict) -> list[str]:
    if not (parts := job["memory_parts_gb"]):
        return [MISSING] * 3
    sums = (("parameters",), ("gradients", "states"), ("activations", "logits", "base"))
    return [_gb(sum(parts[part] for part in group)) for group in sums]


def _gb(value: float | None) -> str:
    return MISSING if value is None else f"{value:,.1f}" if value >= 10 else number(value, 2)


def _hours(value: float) -> str:
    return "< 0.01" if 0 < value < 0.01 else f"{value:,.2f}"


def _sources(audit: dict) -> Grid:
    rows = []
    for one in audit["sources"]:
        count = f"{one['rows']:,}" if one["rows"] is not None else MISSING
        gated = ", gated" if one["gated"] else ""
        cells = [
            name(one["source"]),
            name(one["origin"]),
            one["revision"] + gated,
            one["licence"],
            _names(one["rows_source"]),
        ]
        rows.append([*cells, count, _share(one["share_once"]), _share(one["share_most"])])
    note = (
        "The last two: the largest share of a mixture that the source can give without repeating a row, and with as many repeats "
        "as `max_repeat` allows; a dash where it is not known before, or there is no limit."
    )
    header = [
        "source",
        "origin",
        "revision",
        "licence",
        "rows are known from",
        "rows",
        "share at most, once",
        "repeated",
    ]
    return grid(header, rows, _names(note), left=5)


def _share(value: float | None) -> str:
    return MISSING if value is None else "100 %" if value >= 1 else f"{100 * value:.1f} %"


def _judge(audit: dict) -> Grid:
    rows = [
        [name(one["experiment"]), name(one["judge"]), _names(one["why"]), f"{one['calls']:,}"]
        + [MISSING if one["dollars"] is None else f"{one['dollars']:,.2f}"]
        for one in audit["judge"]
    ]
    return grid(["experiment", "judge", "dollars from", "calls, at most", "dollars"], rows, left=3)


def _jobs(audit: dict) -> Grid:
    on_gpus = _on_gpus(audit)
    rows = []
    for job in audit["jobs"]:
        why = "; ".join(_names(reason["text"]) for reason in job["why"]) or MISSING
        hours = MISSING if job["hours"] is None else _hours(job["hours"])
        what = " ".join([job["rule"], *job["wildcards"].values()])
        cells = [name(what), job["stage"], job["state"], why, _names(job["time_source"])]
        cells += [str(job["gpus"])] * on_gpus
        rows.append([*cells, _gb(job["peak_memory_gb"]), job["verdict"] or MISSING, hours])
    header = ["job", "stage", "state", "why", "time from", *["GPUs"] * on_gpus, "peak GB", "verdict", "hours"]
    return grid(header, rows, left=5)
