"""The command as a user gives it, on the small study: exit codes 0, 1 and 2, what is written, and why a result is stale."""

import html
import json
import re
import subprocess
import sys

import pytest
import yaml
from clones import ENVIRONMENT, SCALEBIO, STUDY

from scalebio.audit import work
from scalebio.config import Study

pytestmark = pytest.mark.slow

WEIGHTS, TABLE = f"{SCALEBIO}/weights.json", "results/small/tables/weights.csv"
WITHOUT = {"HF_TOKEN": "", "JUDGE_API_KEY": ""}


def audit(clone, *arguments: str) -> tuple[int, str]:
    """Exit status of the entry point on the small study, and all it said."""
    done = subprocess.run(
        [sys.executable, "scripts/audit.py", "--configfile", STUDY, *arguments],
        cwd=clone.path,
        env=ENVIRONMENT | WITHOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    )
    return done.returncode, done.stdout


def written(clone) -> dict:
    return clone.json("results/small/audit.json")


def test_a_study_that_was_never_run_is_clean_and_whole(clone):
    code, said = audit(clone)
    assert code == 0, said
    made = written(clone)
    assert made["verdict"] == "clean" and made["totals"]["to_run"] == made["totals"]["jobs"] == len(made["jobs"])
    assert {job["state"] for job in made["jobs"]} == {"missing"}
    learn = [job for job in made["jobs"] if job["rule"] == "learn_weights" and job["wildcards"]["method"] == "scalebio"]
    assert learn[0]["verdict"] == "fits" and learn[0]["peak_memory_gb"] < 2 and learn[0]["hours"] > 0
    # Every job that a dry run lists, and no other.
    ours = sorted(file for job in made["jobs"] for file in job["outputs"])
    assert ours == sorted(file for _, outputs in clone.planned() for file in outputs.split(", "))
    page = (clone.path / "results/small/audit.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>") and "Every job" in page
    assert not re.search(r"""(src|href)=["'](?!#|data:)""", page), "a page that loads something"
    markdown = (clone.path / "results/small/audit.md").read_text(encoding="utf-8")
    assert markdown.startswith("# Audit of study small") and "| `sums_wrong` |" in markdown
    # The audit leaves nothing behind that a later run would stumble over.
    assert sorted(path.name for path in (clone.path / "results/small").iterdir()) == [
        "audit.html",
        "audit.json",
        "audit.md",
    ]


def test_what_would_fail_is_exit_code_1_also_of_snakemake(clone):
    def gate(study):
        study["sources"]["brought"] = {"hub": {"id": "a/<b>", "revision": "unverified", "gated": True}}
        study["use"] = "commercial"
        study["sources"]["dates"]["licence"] = "CC-BY-NC-4.0"

    clone.edit_study(gate)
    done = clone.snakemake("audit")
    assert done.returncode == 1, done.stdout
    kinds = {(finding["gravity"], finding["kind"], finding["key"]) for finding in written(clone)["findings"]}
    assert ("would fail", "licence", "sources.dates.licence") in kinds
    assert ("warning", "revision", "sources.brought.hub.revision") in kinds
    # Whether there is a token depends on who runs this; the entry point below has none.
    code, said = audit(clone)
    assert code == 1 and "gated, sources.brought" in said and "HF_TOKEN" in said
    page = (clone.path / "results/small/audit.html").read_text(encoding="utf-8")
    assert html.escape("a/<b>") in page and "a/<b>" not in page
    clone.edit_study(lambda study: study["methods"]["scalebio"].update(steps="three"))
    code, said = audit(clone)
    assert code == 1 and "methods.scalebio.steps" in said, "a study that cannot be planned"
    (clone.path / STUDY).write_text("study: small\n models: {\n", encoding="utf-8")
    code, said = audit(clone)
    assert code == 1 and f"{STUDY}, line 2: not valid YAML" in said and "Traceback" not in said


def test_finished_results_are_clean_and_stale_ones_exit_code_2(finished_copy):
    code, said = audit(finished_copy)
    assert code == 0 and "0 of" in said, said
    # Times of what would run again are those that were measured.
    for gone in (WEIGHTS, TABLE):
        (finished_copy.path / gone).unlink()
    code, said = audit(finished_copy)
    states = {
        job["wildcards"].get("method"): job for job in written(finished_copy)["jobs"] if job["rule"] == "learn_weights"
    }
    assert states["scalebio"]["state"] == "missing" and states["uniform"]["state"] == "done"
    assert states["scalebio"]["time_source"].startswith("measured (results/small/benchmarks/learn_weights/")
    assert code == 2, "what was made from it would be made again"


def test_why_a_result_is_stale(finished_copy):
    finished_copy.edit_study(lambda study: study["methods"]["scalebio"].update(alpha=3.5))
    done = finished_copy.snakemake("audit")
    assert done.returncode == 2, done.stdout
    made = written(finished_copy)
    assert made["verdict"] == "results stale"
    causes = {one["job"]: one["why"] for one in made["stale"]}
    assert any("settings.alpha: 10.0 → 3.5" in why for why in causes["learn_weights sums/tiny/scalebio/0"])
    code, said = audit(finished_copy, "--explain", TABLE)
    assert code == 2 and "settings.alpha: 10.0 → 3.5" in said
    assert "learn_weights sums/tiny/scalebio/0 → table_weights" in said
    code, said = audit(finished_copy, "--explain", "results/small/sums/pool/train.parquet")
    assert code == 0 and "up to date" in said
    code, said = audit(finished_copy, "--explain", "results/small/sums/pool/trian.parquet")
    assert code == 1 and "Did you mean results/small/sums/pool/train.parquet?" in said
    # Code, by its content.
    script = finished_copy.path / "scripts/scalebio/mixture.py"
    script.write_text(script.read_text(encoding="utf-8") + "\n# changed\n", encoding="utf-8")
    code, said = audit(finished_copy, "--explain", f"{SCALEBIO}/mixture.json")
    assert code == 2 and "code changed: scripts/scalebio/mixture.py" in said


def test_the_audit_counts_at_least_the_tokens_that_a_run_took(finished):
    study = Study.model_validate(yaml.safe_load((finished.path / STUDY).read_text(encoding="utf-8")))
    experiment = study.experiments["sums"]
    counted = work.learning(study, experiment, study.methods["scalebio"], {})
    spent = json.loads((finished.path / WEIGHTS).read_text(encoding="utf-8"))["cost"]
    assert 0 < spent["backward_tokens"] <= counted.trained
