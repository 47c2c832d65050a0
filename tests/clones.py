"""A copy of this repository in which a small study is run by a real Snakemake, as a user would run it."""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

STUDY = "config/small.yaml"
SCALEBIO = "results/small/sums/tiny/scalebio/seed0"
# Snakemake for tests on SLURM, real or fake, that cannot wait for minutes until it looks at its jobs.
EAGER = str(Path(__file__).resolve().with_name("eager_snakemake.py"))
# Snakemake's own variables of an outer run, should these tests be started by one, must not reach ours.
ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith("SNAKEMAKE_")} | {
    "OMP_NUM_THREADS": "1"
}


def processor_seconds() -> float:
    """Processor time of all child processes that have ended so far: unlike the clock, it ignores tests that run beside."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Clone:
    """A copy of the repository, with the small study as `config/small.yaml`."""

    def __init__(self, path: Path):
        self.path = path

    def command(self, *arguments: str, study: str = STUDY, cores: int = 2) -> list[str]:
        """The command line that runs Snakemake on the small study."""
        return [sys.executable, "-m", "snakemake", *arguments, "--cores", str(cores), "--configfile", study]

    def snakemake(self, *arguments: str, **options) -> subprocess.CompletedProcess:
        """Run it; `stdout` has both streams, as a user sees them."""
        return subprocess.run(
            self.command(*arguments, **options),
            cwd=self.path,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )

    def run(self, *arguments: str, **options) -> str:
        """Run it and expect success."""
        done = self.snakemake(*arguments, **options)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def planned(self, *arguments: str) -> list[tuple[str, str]]:
        """(rule, its outputs) of every job that a dry run lists, `all` left out."""
        shown = self.run("-n", *arguments)
        jobs = re.findall(r"^(?:local)?rule (\w+):\n(?:    .*\n)*?    output: (.*)$", shown, re.MULTILINE)
        assert jobs or "Nothing to be done" in shown, shown
        return jobs

    def edit_study(self, change) -> None:
        """Change the study file: `change` gets it as a mapping and alters it in place."""
        file = self.path / STUDY
        study = yaml.safe_load(file.read_text(encoding="utf-8"))
        change(study)
        file.write_text(yaml.safe_dump(study, sort_keys=False, allow_unicode=True), encoding="utf-8")

    def results(self) -> dict[str, bytes]:
        """Content of every result file by path."""
        folder = self.path / "results" / "small"
        return {
            path.relative_to(self.path).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
        }

    def json(self, path: str) -> dict:
        """A JSON file of the copy."""
        return json.loads((self.path / path).read_text(encoding="utf-8"))


def new_clone(root: Path, path: Path) -> Clone:
    """Copy what git would commit, and add the small study and the rows it brings along."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (root / name).is_file() or (root / name).is_symlink():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, path / name, follow_symlinks=False)
    shutil.copy(root / "tests" / "workflow" / "small.yaml", path / STUDY)
    (path / "data").mkdir()
    for benchmark in ("gsm8k", "math"):
        shutil.copy(root / "tests" / "maths" / f"{benchmark}.jsonl", path / "data")
    # Over 1 MB, Snakemake's own limit for comparing files by content, which profiles/default raises.
    padding = {"ignored": "-" * 20_000}
    rows = [{"prompt": f"Wie heißt die Zahl nach {i}?", "response": f"„{i + 1}“"} | padding for i in range(60)]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (path / "data" / "brought.jsonl").write_text(lines, encoding="utf-8")
    return Clone(path)
