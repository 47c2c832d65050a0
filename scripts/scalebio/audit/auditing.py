"""The audit as a whole: from planned jobs and the study's configuration to one JSON document."""

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from scalebio.audit import checks, judging, page, record, rows, sources
from scalebio.audit.estimates import Estimator, Machine
from scalebio.audit.plan import Planned
from scalebio.files import write_json, write_text
from scalebio.study import load_study

FETCHING = {"fetch_source": "sources.{source}", "fetch_hub_source": "sources.{source}", "fetch_model": "models.{model}"}
FETCHING |= {"fetch_math": "evaluations.math.benchmarks.{benchmark}"}


def make(jobs: list[Planned], config: dict, machine: Machine | None) -> dict:
    """The audit (`record.document`) of planned jobs under this configuration, on this machine; None: as if nothing were here.

    Raises UserError as `load_study`.
    """
    study = load_study(config)
    # A folder that is never there.
    results = Path("results") / study.study if machine else Path("results") / study.study / "nothing"
    known = sources.supplies(study, results, read=machine is not None)
    machine = machine or Machine()
    estimates = Estimator(study, jobs, results, machine, known).all()
    needed = [job for job in jobs if job.needed]
    judged = {job.wildcards["experiment"] for job in needed if job.rule == "mtbench_judgments"}
    asked = judging.judging(study, [name for name in study.run if name in judged])
    to_fetch = {FETCHING[job.rule].format(**job.wildcards) for job in needed if job.rule in FETCHING}
    found = [
        *checks.fitting(estimates),
        *checks.main_memory(estimates),
        *rows.unusable(study, known, results),
        *sources.access(study, to_fetch, machine.token),
        *checks.judge(study, asked, machine),
        *sources.too_small(study, known),
        *sources.leakage(study, results),
        *checks.templates(study, results),
        *sources.licences(study),
        *checks.time_limits(estimates),
    ]
    return record.document(study, estimates, found, asked, known)


def write(audit: dict) -> list[Path]:
    """Write results/<study>/audit.{json,md,html}; returns the three paths."""
    folder = Path("results") / audit["study"]
    paths = [folder / f"audit.{kind}" for kind in ("md", "json", "html")]
    write_text(paths[0], page.markdown(audit))
    write_json(paths[1], audit)
    write_text(paths[2], page.html(audit))
    return paths


@contextlib.contextmanager
def as_study_file(config: dict | None) -> Iterator[list[str]]:
    """Arguments for Snakemake that give it a configuration that is already merged, as a file; none if there is none."""
    if config is None:
        yield []
        return
    with tempfile.TemporaryDirectory(prefix="scalebio-audit-") as folder:
        path = Path(folder) / f"{config.get('study', 'study')}.yaml"
        # JSON is YAML.
        path.write_text(json.dumps(config, ensure_ascii=False), encoding="utf-8")
        yield ["--configfile", str(path)]
