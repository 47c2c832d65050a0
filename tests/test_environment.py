"""One place states the versions: the lock, the conda files and what is installed follow from pyproject.toml.

Also the set-up script's decisions, without network: stand-ins for `python` are small shell scripts that answer as pip
would, so the real subprocess calls are made.
"""

import ast
import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import setup_environment
from scalebio.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
PROJECT = setup_environment.read_project(ROOT)
DIRECT = setup_environment.direct_requirements(PROJECT)
COMPILED = set(PROJECT["tool"]["scalebio"]["compiled"])
CONDA = PROJECT["tool"]["scalebio"]["conda"]


def here(requirements: list[str]) -> dict[str, str]:
    """{name: version} of the pins whose markers hold for this Python and platform."""
    parsed = [Requirement(line) for line in requirements]
    return {
        canonicalize_name(pin.name): next(iter(pin.specifier)).version
        for pin in parsed
        if pin.marker is None or pin.marker.evaluate()
    }


def lock_lines() -> list[str]:
    """The lock's requirements without its comments."""
    lines = (line.split("#")[0].strip() for line in (ROOT / "envs" / "lock.txt").read_text().splitlines())
    return [line for line in lines if line]


def conda_pins(name: str) -> list[str]:
    """The requirements in the pip section of a conda file."""
    (pins,) = [
        entry["pip"]
        for entry in yaml.safe_load((ROOT / "envs" / f"{name}.yaml").read_text())["dependencies"]
        if isinstance(entry, dict)
    ]
    return pins


def closure(requirements: list[str]) -> set[str]:
    """Names of all distributions that the requirements ask for, through the metadata of what is installed."""
    found, waiting, seen = set(), [Requirement(line) for line in requirements], set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if setup_environment.CUDA_PACKAGE.match(name) or (name, *sorted(requirement.extras)) in seen:
            continue
        seen.add((name, *sorted(requirement.extras)))
        found.add(name)
        if name in COMPILED:
            continue
        extras = requirement.extras or {""}
        for line in importlib.metadata.requires(name) or []:
            needed = Requirement(line)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(needed)
    return found


# --- the files are in step ------------------------------------------------------------------------------------


def test_lock_holds_every_direct_pin():
    locked = setup_environment.parse_pins(lock_lines())
    assert setup_environment.disagreements(setup_environment.parse_pins(DIRECT), locked) == []


def test_lock_is_exactly_what_the_direct_pins_need():
    assert set(here(lock_lines())) == closure(DIRECT)


@pytest.mark.parametrize("name", CONDA["environments"])
def test_conda_file_is_exactly_what_its_members_need(name):
    members = [line for line in DIRECT if Requirement(line).name in CONDA["environments"][name]]
    assert len(members) == len(CONDA["environments"][name])
    pins = here(conda_pins(name))
    assert set(pins) == closure(members)
    assert pins.items() <= here(lock_lines()).items()


@pytest.mark.parametrize("name", CONDA["environments"])
def test_conda_file_brings_python_and_pip(name):
    content = yaml.safe_load((ROOT / "envs" / f"{name}.yaml").read_text())
    assert content["channels"] == ["conda-forge", "nodefaults"]
    assert content["dependencies"][:2] == [f"python={CONDA['python']}", "pip"]


def test_every_conda_file_is_declared():
    assert {path.stem for path in (ROOT / "envs").glob("*.yaml")} == set(CONDA["environments"])


def test_installed_versions_are_the_locked_ones():
    installed = {canonicalize_name(found.name): found.version for found in importlib.metadata.distributions()}
    for name, version in here(lock_lines()).items():
        if name in COMPILED and name not in installed:
            continue
        assert name in installed, f"{name} is not installed"
        assert Version(installed[name]).public == version, name


def test_snakemake_is_in_the_supported_range():
    assert Version("9.19") <= Version(here(DIRECT)["snakemake"]) < Version("10")


def test_no_build_of_torch_is_forced():
    for line in lock_lines() + [pin for name in CONDA["environments"] for pin in conda_pins(name)]:
        assert not setup_environment.CUDA_PACKAGE.match(line), line
        assert "+" not in line.split(";")[0], line


# vllm needs a GPU and brings a torch build of its own, so users of one install the version that fits it.
USED_WHERE_INSTALLED = {"vllm"}


def test_every_third_party_import_is_declared():
    files = [*(ROOT / "scripts").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    own = {path.stem for path in files} | {path.parent.name for path in files}
    imported = {}
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module]
            imported |= {name.split(".")[0]: path.relative_to(ROOT) for name in names}
    providers = importlib.metadata.packages_distributions()
    direct = {canonicalize_name(Requirement(line).name) for line in DIRECT}
    undeclared = {
        f"{module} in {path}"
        for module, path in imported.items()
        if module not in sys.stdlib_module_names | own | USED_WHERE_INSTALLED
        and not direct & {canonicalize_name(name) for name in providers.get(module, [])}
    }
    assert undeclared == set()


def test_citation_states_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == PROJECT["project"]["version"]
    assert citation["license"] == PROJECT["project"]["license"] == "MIT"


# --- pins -----------------------------------------------------------------------------------------------------


def test_pins_are_read_with_extras_markers_and_comments():
    lines = [
        "# note",
        "",
        "A_b[c,d]==1.0",
        "x==2 ; python_version < '3.12'  # via y",
        "x==3 ; python_version >= '3.12'",
    ]
    assert setup_environment.parse_pins(lines) == {"a-b": {"1.0"}, "x": {"2", "3"}}


@pytest.mark.parametrize("line", ["numpy", "numpy>=2", "numpy==2.*", "numpy==2,<3"])
def test_a_loose_requirement_is_refused(line):
    with pytest.raises(UserError, match="name==version"):
        setup_environment.parse_pins([line])


def test_disagreements_name_both_sides():
    assert setup_environment.disagreements({"a": {"1"}, "b": {"2"}, "c": {"3"}}, {"a": {"1"}, "b": {"9"}}) == [
        "b: pyproject.toml pins 2, envs/lock.txt 9",
        "c: pyproject.toml pins 3, envs/lock.txt nothing",
    ]


def test_a_stale_lock_is_refused_before_anything_is_installed(tmp_path):
    (tmp_path / "envs").mkdir()
    (tmp_path / "envs" / "lock.txt").write_text("torch==1\npip==1\n")
    (tmp_path / "pyproject.toml").write_text(
        '[project]\ndependencies = ["torch==2"]\n[dependency-groups]\ndev = ["pip==1"]\n'
    )
    with pytest.raises(UserError, match="make lock"):
        setup_environment.install(tmp_path)
    assert not (tmp_path / ".venv").exists()


# --- which torch ----------------------------------------------------------------------------------------------


def report(version: str, *requires: str) -> dict:
    """A `pip install --report` document, cut to what is read of it."""
    return {"version": "1", "install": [{"metadata": {"version": version, "requires_dist": list(requires)}}]}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (report("2.13.0+cpu", "filelock"), True),
        (report("2.13.0", "filelock", 'optree>=0.13.0; extra == "optree"'), True),
        ({"install": [{"metadata": {"version": "2.13.0"}}]}, True),
        (report("2.13.0", "filelock", 'nvidia-cudnn-cu13==9.20.0.48; platform_system == "Linux"'), False),
        (report("2.13.0", 'cuda-toolkit[cublas]==13.0.3.0; platform_system == "Linux"'), False),
        (report("2.13.0", "triton==3.7.1"), False),
        (report("2.13.0+cu130", "filelock"), False),
        (report("2.13.0+rocm7.0", "filelock"), False),
        (report("2.13.0", 'nvidia-ml-py; extra == "tools"'), True),
    ],
)
def test_cpu_build_is_told_from_the_report(answer, expected):
    assert setup_environment.is_cpu_build(answer) is expected


def executable(path: Path, body: str) -> Path:
    """A shell script that stands for an interpreter."""
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


CPU, CUDA = json.dumps(report("2.13.0+cpu")), json.dumps(report("2.13.0", "nvidia-nccl-cu13==2.29.7"))


@pytest.mark.parametrize(
    ("configured", "public", "expected"),
    [
        (CPU, CPU, []),
        (CUDA, CPU, ["--index-url", setup_environment.CPU_INDEX]),
        (None, CPU, ["--index-url", setup_environment.CPU_INDEX]),
        (CUDA, None, None),
        (CUDA, CUDA, None),
    ],
)
def test_a_cpu_build_is_looked_for_in_order(tmp_path, capfd, configured, public, expected):
    def answer(document):
        return "exit 1" if document is None else f"echo '{document}'"

    body = f'case "$*" in *--index-url*) {answer(public)};; *) {answer(configured)};; esac'
    options = setup_environment.cpu_options(executable(tmp_path / "python", body), "torch==2.13.0")
    assert (options if options is None else options[:2]) == expected
    assert ("CPU build" in capfd.readouterr().out) is (expected is not None)


# --- the virtual environment ----------------------------------------------------------------------------------


def test_another_active_environment_is_left():
    environment = {"VIRTUAL_ENV": "/a", "CONDA_PREFIX": "/b", "PYTHONPATH": "/c", "PIP_TARGET": "/d", "PATH": "/bin"}
    setup_environment.leave_foreign_environments(environment)
    assert environment == {"PATH": "/bin", "PIP_USER": "0"}


def test_half_installed_packages_are_forgotten(tmp_path):
    for name in ("whole-1.dist-info", "half-2.dist-info", "~ld-0.dist-info", "half", "~ld"):
        (tmp_path / name).mkdir()
    for name in ("whole-1.dist-info", "~ld-0.dist-info"):
        (tmp_path / name / "INSTALLER").write_text("pip\n")
    assert setup_environment.remove_unfinished(tmp_path) == ["half-2.dist-info"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["half", "whole-1.dist-info"]


def test_what_does_not_run_is_not_usable(tmp_path):
    assert setup_environment.usable(Path(sys.executable))
    assert not setup_environment.usable(tmp_path / "absent")
    assert not setup_environment.usable(executable(tmp_path / "python", "exit 127"))


def test_a_package_that_cannot_be_compiled_is_reported_and_passed_over(tmp_path, capfd):
    python = executable(tmp_path / "python", 'case "$*" in *pycosat*) echo no compiler; exit 1;; esac')
    lines = ["# note", "numpy==2.4.6  # via x", "pycosat==0.6.6  # via reasoning-gym"]
    setup_environment.install_lock(python, lines, {"pycosat": "the rest works"}, 0)
    printed = capfd.readouterr().out
    assert "pycosat could not be compiled; the rest works" in printed and "no compiler" in printed


def test_a_failing_pip_ends_in_one_message(tmp_path):
    python = executable(tmp_path / "python", "exit 3")
    with pytest.raises(UserError, match="status 3"):
        setup_environment.install_lock(python, ["numpy==2.4.6"], {}, 0)


def make(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run `make environment` where the only interpreters are those in `tmp_path`, and nothing can be installed."""
    environment = {"PATH": f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin", "VIRTUAL_ENV": "/elsewhere"}
    command = ["make", "--no-print-directory", "-C", str(ROOT), "environment", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


# What an interpreter answers to the Makefile's question (-c ...), and then what it would run.
GOOD = 'case "$1" in -c) exit 0;; *) echo "$0 ran $* with VIRTUAL_ENV=$VIRTUAL_ENV";; esac'


def test_an_interpreter_that_is_listed_but_does_not_run_is_passed_over(tmp_path):
    executable(tmp_path / "python3.11", "echo 'command not found in this version' >&2; exit 127")
    executable(tmp_path / "python3.12", GOOD)
    result = make(tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == f"{tmp_path}/python3.12 ran scripts/setup_environment.py install with VIRTUAL_ENV="


def test_the_named_interpreter_is_the_only_one_tried(tmp_path):
    executable(tmp_path / "python3.11", GOOD)
    chosen = executable(tmp_path / "mine", GOOD)
    assert make(tmp_path, f"PYTHON={chosen}").stdout.startswith(f"{chosen} ran")
    refused = make(tmp_path, f"PYTHON={executable(tmp_path / 'old', 'exit 1')}")
    assert refused.returncode != 0 and "Python >= 3.11" in refused.stderr and "PYTHON=" in refused.stderr
