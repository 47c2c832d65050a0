"""`scripts/sbatch_lines.py` shows the lines that are really used, for every job, and submits nothing."""

import json
import re
import shutil
import subprocess
import sys

import pytest
import yaml
from clones import ENVIRONMENT, STUDY
from fake_slurm import PROFILE, FakeSlurm

pytest.importorskip("snakemake_executor_plugin_slurm")

# Snakemake writes two sets of words in an order that changes from process to process unless this is set.
ORDERED = ENVIRONMENT | {"PYTHONHASHSEED": "0"}


@pytest.fixture
def without_slurm(tmp_path) -> str:
    """A PATH with what Snakemake and the plugin call at their start, and nothing of SLURM."""
    folder = tmp_path / "without slurm"
    folder.mkdir()
    for command in ("bash", "sh", "which"):
        (folder / command).symlink_to(shutil.which(command))
    return str(folder)


@pytest.fixture
def study(clone):
    """A fresh clone with a profile of its own, on which a test may put site values."""

    def write(**changes):
        (clone.path / "site").mkdir(exist_ok=True)
        (clone.path / "site" / "profile.yaml").write_text(yaml.safe_dump(PROFILE | changes))
        return clone

    return write


def shown(clone, *arguments: str, path: str | None = None, status: int = 0) -> str:
    """What the command prints; `path` is its PATH."""
    done = subprocess.run(
        [sys.executable, "scripts/sbatch_lines.py", *arguments, "--profile", "site", "--configfile", STUDY],
        cwd=clone.path,
        env=ORDERED | ({} if path is None else {"PATH": path}),
        capture_output=True,
        text=True,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout if status == 0 else done.stdout + done.stderr


def stable(words: list[str]) -> list[str]:
    """The arguments of an sbatch with the names that are new in each run as the command shows them."""
    uuid = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    known = {uuid: "00000000-0000-0000-0000-000000000000", r"(?<=/)tmp(\.|)[a-z0-9_]{8}(?=[/'\s])": "tmp.00000000"}
    for pattern, name in known.items():
        words = [re.sub(pattern, name, word) for word in words]
    return words


def test_the_lines_shown_are_those_used_for_every_job(study, tmp_path):
    clone, slurm = study(), FakeSlurm(tmp_path / "slurm", state="COMPLETED")
    lines = json.loads(shown(clone, "--json", path=slurm.path))["lines"]
    # Tables and figures, which run where Snakemake runs, would read what these jobs only seem to have made.
    targets = [output for line in lines for output in line["outputs"]]
    lines = json.loads(shown(clone, *targets, "--json", path=slurm.path))["lines"]
    assert slurm.jobs() == [] and len(lines) > 15
    assert not (clone.path / "logs").exists(), "looking left folders behind"

    # What the shell makes of each line shown, told by a sbatch of its own.
    told = FakeSlurm(tmp_path / "told")
    for line in lines:
        subprocess.run(
            line["call"], shell=True, check=True, env={"PATH": told.path}, capture_output=True, cwd=clone.path
        )

    # A real run, whose jobs seem to have done their work.
    for file in targets + [line["benchmark"] for line in lines]:
        (clone.path / file).parent.mkdir(parents=True, exist_ok=True)
        (clone.path / file).write_text("{}")
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--forceall", *targets, "--profile", "site", "--configfile", STUDY],
        cwd=clone.path,
        env=ORDERED | {"PATH": slurm.path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    used = sorted(stable(job["argv"]) for job in slurm.jobs())
    assert used == sorted(job["argv"] for job in told.jobs())
    assert len(used) == len(lines)


def test_works_without_slurm_and_says_what_is_left_to_it(study, without_slurm):
    clone = study(**{"default-resources": []})
    text = shown(clone, path=without_slurm)
    assert "no account is given" in text and "no partition is given" in text
    assert "--comment rule_fetch_source_wildcards_sums -t " in text, "neither -A nor -p"
    assert "learn_weights  experiment=sums model=tiny method=scalebio seed=0" in text
    assert "sbatch lines; nothing was submitted" in text and "table_weights" in text


def test_partitions_come_from_the_plugins_partition_file(study, without_slurm):
    clone = study(**{"default-resources": ["slurm_account=lab"], "slurm-partition-config": "site/partitions.yaml"})
    partitions = {"short": {"max_runtime": 100}, "long": {"max_runtime": 3000}}
    (clone.path / "site" / "partitions.yaml").write_text(yaml.safe_dump({"partitions": partitions}))
    lines = json.loads(shown(clone, "--json", path=without_slurm))["lines"]
    chosen = {line["rule"]: re.search(" -p (\\w+)", line["call"])[1] for line in lines}
    assert chosen["fetch_source"] == "short" and chosen["learn_weights"] == "long"


def test_memory_of_a_later_attempt_and_a_request_that_is_refused(study):
    clone = study()
    weights = "results/small/sums/tiny/scalebio/seed0/weights.json"
    memory = [
        int(re.search(r"learn_weights .*?--mem (\d+)", shown(clone, weights, *more), re.DOTALL)[1])
        for more in ([], ["--attempt", "2"])
    ]
    assert 2 * memory[1] == 3 * memory[0]
    refused = shown(clone, weights, "--set-resources", "learn_weights:slurm_extra='--gres=gpu:1'", status=1)
    assert "refused" in refused and "slurm_extra" in refused


def test_another_executor_is_refused(study):
    assert "--profile slurm" in shown(study(executor="local"), status=2)


def test_shows_only_what_is_needed_when_asked(study, finished_copy):
    (finished_copy.path / "site").mkdir()
    (finished_copy.path / "site" / "profile.yaml").write_text(yaml.safe_dump(PROFILE))
    assert "0 sbatch lines" in shown(finished_copy, "--needed")
    # Snakemake makes a file again only if something that is made from it is missing too.
    (finished_copy.path / "results/small/sums/tiny/scalebio/seed0/metrics.json").unlink()
    (finished_copy.path / "results/small/tables/test_loss.csv").unlink()
    needed = shown(finished_copy, "--needed")
    assert re.findall(r"^\w+(?=  )", needed, re.MULTILINE) == ["evaluate"]
