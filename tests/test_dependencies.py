"""The list of code files behind a script must be complete, or an edit would leave a stale result standing."""

import ast
import importlib.metadata
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scalebio.dependencies import code_files

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / "scripts"
NOT_A_JOB = {"setup_environment.py", "config_reference.py", "smoke_test.py", "sbatch_lines.py", "measure_regmix.py"}
NOT_A_JOB |= {"watch.py", "verify_results.py"}
ENTRY_POINTS = sorted(path.name for path in SCRIPTS.glob("*.py") if path.name not in NOT_A_JOB)


def closure(name: str) -> set[str]:
    return {file.relative_to(SCRIPTS).as_posix() for file in code_files(SCRIPTS / name)}


# Runs every import statement of each script, also those inside functions, and lists what of ours is loaded then. All
# in one process, because what takes time is loading torch once.
PROBE = """
import ast, json, pathlib, sys
loaded = {}
for path in sys.argv[1:]:
    script = pathlib.Path(path)
    sys.path[0] = str(script.parent)
    for name in [name for name in sys.modules if name.split(".")[0] == "scalebio"]:
        del sys.modules[name]
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.Import, ast.ImportFrom)) and "scalebio" in ast.unparse(node):
            exec(ast.unparse(node))
    ours = [module for name, module in sys.modules.items() if name.split(".")[0] == "scalebio"]
    loaded[script.name] = [pathlib.Path(module.__file__).relative_to(script.parent).as_posix() for module in ours]
print(json.dumps(loaded))
"""


@pytest.mark.slow
def test_every_module_loaded_by_an_entry_point_is_in_its_list():
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *(str(SCRIPTS / name) for name in ENTRY_POINTS)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout)
    assert loaded.keys() == set(ENTRY_POINTS)
    for name, files in loaded.items():
        assert "scalebio/cli.py" in files and set(files) <= closure(name), name


def test_modules_loaded_by_a_method_are_in_the_list():
    """`weighting.learn` imports a method by its kind, at run time."""
    assert {f"scalebio/weighting/{path.name}" for path in (SCRIPTS / "scalebio/weighting").glob("*.py")} <= closure(
        "learn_weights.py"
    )
    assert "scalebio/bilevel.py" in closure("learn_weights.py")


def test_the_script_comes_first_and_the_rest_in_order():
    files = code_files(SCRIPTS / "learn_weights.py")
    assert files[0] == SCRIPTS / "learn_weights.py" and list(files[1:]) == sorted(files[1:])


def test_a_job_does_not_depend_on_rooms_it_does_not_enter():
    assert not {"scalebio/bilevel.py", "scalebio/base_models.py"} & closure("fetch_source.py")
    assert not {"scalebio/figures/weights.py", "scalebio/finetuning.py"} & closure("draw_figure.py")


def test_each_way_of_importing_is_seen(tmp_path):
    package = tmp_path / "scalebio"
    (package / "deep").mkdir(parents=True)
    for file in ("__init__", "a", "b", "c", "d", "unused", "deep/__init__", "deep/e"):
        (package / f"{file}.py").write_text("")
    (package / "a.py").write_text("import scalebio.b as other\nimport os\n")
    (package / "b.py").write_text("from scalebio.a import something\n")  # a circle must not hang it
    (tmp_path / "script.py").write_text(
        "from scalebio import a, CONSTANT\n"
        "def main():\n    from scalebio.deep.e import function\n    if 1:\n        import scalebio.c, json\n"
        "# from scalebio import unused\n"
    )
    found = [file.relative_to(tmp_path).as_posix() for file in code_files(tmp_path / "script.py")]
    expected = ["__init__", "a", "b", "c", "deep/__init__", "deep/e"]
    assert found == ["script.py", *(f"scalebio/{name}.py" for name in expected)]


def imported_distributions(files: set[str]) -> set[str]:
    """Distributions behind the third-party imports of some files."""
    owners = importlib.metadata.packages_distributions()
    names = set()
    for file in files:
        for node in ast.walk(ast.parse((SCRIPTS / file).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.split(".")[0])
    return {canonicalize_name(owner) for name in names - {"scalebio"} for owner in owners.get(name, [])[:1]}


# Rule `audit` plans with Snakemake, and so runs in Snakemake's own environment whatever is deployed.
@pytest.mark.parametrize("name", [name for name in ENTRY_POINTS if name != "audit.py"])
def test_the_conda_environment_of_each_rule_has_what_its_entry_point_imports(name):
    """Seen only with `--sdm conda`, that is, on a machine other than the one it was written on."""
    rules = "".join(file.read_text(encoding="utf-8") for file in sorted((ROOT / "workflow/rules").glob("*.smk")))
    rule = rules[rules.index(f'code=code("{name}")') :]
    environment = rule[rule.index("../../envs/") + len("../../envs/") :].split(".yaml")[0]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = project["tool"]["scalebio"]["conda"]["environments"][environment]
    given, waiting = set(), list(listed)
    while waiting:
        wanted = canonicalize_name(waiting.pop())
        if wanted not in given:
            given.add(wanted)
            try:
                needs = map(Requirement, importlib.metadata.requires(wanted) or [])
            except importlib.metadata.PackageNotFoundError:  # not for this platform
                continue
            waiting += [need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    files = closure(name)
    if name == "draw_figure.py":
        files |= {path.relative_to(SCRIPTS).as_posix() for path in (SCRIPTS / "scalebio/figures").glob("*.py")}
    assert imported_distributions(files) <= given
