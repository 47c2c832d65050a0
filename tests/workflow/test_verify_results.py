"""The check of a results folder by its own hashes: finds any changed byte, and knows nothing of this package."""

import ast
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scalebio import files as files_module

pytestmark = pytest.mark.slow

RUN = "sums/tiny/scalebio/seed0"
# One of each kind that a study makes.
KINDS = [
    "sources/brought.json",
    "sources/brought.parquet",
    "sums/pool/pool.json",
    "sums/pool/test.parquet",
    "sums/tiny/base/tokenizer.json",
    f"{RUN}/weights.json",
    f"{RUN}/trajectory.parquet",
    f"{RUN}/row_scores.parquet",
    f"{RUN}/mixture.parquet",
    f"{RUN}/mixture.json",
    f"{RUN}/model/model.safetensors",
    f"{RUN}/model/chat_template.jinja",
    f"{RUN}/model/provenance.json",
    f"{RUN}/training.parquet",
    f"{RUN}/metrics.json",
    f"{RUN}/math/answers.jsonl",
    f"{RUN}/math/graded.jsonl",
    f"{RUN}/math/scores.csv",
    "sums/math/differences.csv",
    "downloads/math/gsm8k.jsonl",
    "gates/leakage/sums.json",
    "tables/test_loss.csv",
    "tables/test_loss.md",
    "tables/test_loss.provenance.json",
    "figures/mixtures.png",
    "figures/mixtures.pdf",
    "report.html",
]


@pytest.fixture(scope="module")
def verify(root):
    def run(folder: Path, *options: str) -> subprocess.CompletedProcess:
        # -I: neither this package nor the environment can be imported by accident.
        command = [sys.executable, "-I", root / "scripts/verify_results.py", folder, *options]
        return subprocess.run(command, capture_output=True, text=True, encoding="utf-8")

    return run


@pytest.fixture(scope="module")
def results(finished, tmp_path_factory) -> Path:
    """A copy of the results alone, elsewhere, under another name."""
    folder = tmp_path_factory.mktemp("kept") / "as kept"
    return Path(shutil.copytree(finished.path / "results" / "small", folder))


def flip(file: Path) -> None:
    """Change the last byte that is no white space: of JSON's closing bracket, a digit or letter before it."""
    content = bytearray(file.read_bytes())
    place = (
        max(i for i, byte in enumerate(content) if chr(byte).isalnum()) if file.suffix == ".json" else len(content) - 2
    )
    content[place] ^= 1
    file.write_bytes(content)


def test_it_imports_the_standard_library_only(root):
    tree = ast.parse((root / "scripts/verify_results.py").read_text(encoding="utf-8"))
    names = [node.module if isinstance(node, ast.ImportFrom) else node.names[0].name for node in ast.walk(tree)
             if isinstance(node, (ast.Import, ast.ImportFrom))]  # fmt: skip
    assert names and set(names) <= sys.stdlib_module_names


def test_a_finished_study_verifies_and_every_file_of_it_is_vouched_for(finished, verify):
    done = verify(finished.path / "results/small", "--code", str(finished.path))
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("\n") == 1 and "0 does not match, 0 gone, 0 not there, 0 no record" in done.stdout
    assert int(done.stdout.split()[0]) > 1000


def test_results_elsewhere_miss_only_what_was_not_copied(results, verify):
    done = verify(results)
    assert done.returncode == 0, done.stdout
    missing = [line for line in done.stdout.splitlines() if line.startswith("not there")]
    assert missing and all("/data/" in line or line.endswith("/workflow/claims.yaml") for line in missing)
    (results / "stray.csv").write_text("1\n")
    assert "no record: stray.csv: no provenance names it" in verify(results).stdout
    (results / "stray.csv").unlink()


@pytest.mark.parametrize("kind", KINDS)
def test_one_changed_byte_is_found(results, verify, kind):
    file = results / kind
    kept = file.read_bytes()
    flip(file)
    try:
        done = verify(results, "--quiet")
    finally:
        file.write_bytes(kept)
    assert done.returncode == 1
    mismatches = [line for line in done.stdout.splitlines() if line.startswith("does not match")]
    assert mismatches and any(kind in line for line in mismatches), done.stdout


def test_a_file_that_is_gone_is_a_fault_unless_it_was_left_out_on_purpose(results, verify):
    file = results / RUN / "model/model.safetensors"
    kept = file.read_bytes()
    file.unlink()
    try:
        done, partial = verify(results, "--quiet"), verify(results, "--quiet", "--partial")
    finally:
        file.write_bytes(kept)
    assert done.returncode == 1 and f"gone: {RUN}/model/provenance.json: weights: {file}" in done.stdout
    assert partial.returncode == 0 and partial.stdout.count("\n") == 1 and "0 gone" not in partial.stdout


def test_other_code_is_told_only_when_asked(results, verify, tmp_path):
    assert "code" not in verify(results, "--quiet").stdout
    done = verify(results, "--quiet", "--code", str(tmp_path))
    assert done.returncode == 0 and "0 does not match" in done.stdout  # nothing there to compare with
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "evaluate.py").write_text("another\n")
    done = verify(results, "--quiet", "--code", str(tmp_path))
    assert done.returncode == 1 and "metrics.json: code: " in done.stdout


def test_inputs_of_another_study_are_looked_up_there(verify, tmp_path):
    """As where learning started from the weights of an older study: both have a file of that name."""

    def record(study, file, **inputs):
        path = tmp_path / "results" / study / file
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "mixture.parquet").write_text(study)
        outputs = {"mixture": path.parent / "mixture.parquet"}
        made = {"settings": {}, "settings_sha256": hashlib.sha256(b"{}").hexdigest()}
        for kind, files in (("inputs", inputs), ("outputs", outputs)):
            made[kind] = {
                role: {"path": str(one.relative_to(tmp_path)), "sha256": hashlib.sha256(one.read_bytes()).hexdigest()}
                for role, one in files.items()
            }
        files_module.write_json(path, {"study": study, "provenance": made})
        return path

    old = record("old", "weights.json")
    record("grown", "weights.json", start=old)
    done = verify(tmp_path / "results/grown")
    assert done.returncode == 0 and "0 does not match, 0 gone, 0 not there" in done.stdout, done.stdout
    old.write_text("{}")
    assert "weights.json: input start" in verify(tmp_path / "results/grown").stdout


def test_a_folder_without_any_record_does_not_pass(verify, tmp_path):
    (tmp_path / "a.json").write_text("{}")
    done = verify(tmp_path)
    assert done.returncode == 1 and "nothing was compared" in done.stdout
    assert verify(tmp_path / "none").returncode == 2


def test_an_ro_crate_can_be_written_where_its_plugin_is(finished_copy):
    pytest.importorskip("snakemake_report_plugin_fairscape", reason="the extra `rocrate` is not installed")
    crate = "results/small/ro-crate-metadata.json"
    finished_copy.run("--reporter", "fairscape", "--report-fairscape-path", crate)
    graph = finished_copy.json(crate)["@graph"]
    files = {entry["contentUrl"] for entry in graph if "contentUrl" in entry}
    # Relative to the crate.
    assert {f"{RUN}/weights.json", f"{RUN}/metrics.json"} <= files
    assert sum("Computation" in str(entry["@type"]) for entry in graph) > 25
