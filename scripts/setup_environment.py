"""Build this clone's environment in `.venv/`, or re-make the files that pin it.

    python scripts/setup_environment.py          install what envs/lock.txt pins (`make` does this for every target)
    python scripts/setup_environment.py lock     envs/lock.txt and envs/*.yaml from pyproject.toml (`make lock`)

It runs before anything is installed, so it needs nothing but Python >= 3.11 with `venv` and `ensurepip`; `.venv/` is
made from the interpreter that runs it. It is safe to kill at any time and cheap to call again: a stamp in `.venv/`
says that everything is in place, and without it the next call goes on from what is there. PyTorch comes first and
apart, because a CUDA build of some 3 GB also satisfies the pin on machines that have no GPU to use it.
"""

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import venv
from collections.abc import Iterable, Iterator, MutableMapping
from pathlib import Path

from scalebio.cli import run
from scalebio.errors import UserError
from scalebio.files import read_json, write_json, write_text

ROOT = Path(__file__).resolve().parent.parent
STAMP = Path(".venv") / "scalebio-stamp.json"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
# What a CUDA build of torch asks for; a CPU build asks for none of it, and so neither does the lock.
CUDA_PACKAGE = re.compile(r"^(nvidia|cuda|triton)\b", re.IGNORECASE)
# Another active environment would redirect Python or pip away from `.venv/` through these.
FOREIGN = ("VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT")
PIP = ("-m", "pip", "--no-input", "--disable-pip-version-check", "--retries", "10")
STARTED = time.monotonic()


def say(message: str) -> None:
    """Print one line of progress with the seconds since the start."""
    print(f"environment [{time.monotonic() - STARTED:4.0f} s] {message}", flush=True)


# --- pins -----------------------------------------------------------------------------------------------------


def normalised(name: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def parse_pins(requirements: Iterable[str]) -> dict[str, set[str]]:
    """Map each name to its pinned versions (several where markers split them); comments and blank lines are skipped.

    Raises UserError for a requirement without an exact `==` version.
    """
    pins: dict[str, set[str]] = {}
    for requirement in requirements:
        if not requirement.strip() or requirement.lstrip().startswith("#"):
            continue
        match = re.match(r"\s*([\w.-]+)(?:\[[^]]*])?\s*==\s*([^\s;#*,]+)\s*(?:[;#]|$)", requirement)
        if not match:
            raise UserError(f"`{requirement.strip()}`: not an exact pin. Write it as `name==version`.")
        pins.setdefault(normalised(match[1]), set()).add(match[2])
    return pins


def direct_requirements(project: dict) -> list[str]:
    """What `.venv/` must hold by name: the workflow's dependencies and the tools of its tests."""
    return project["project"]["dependencies"] + project["dependency-groups"]["dev"]


def disagreements(direct: dict[str, set[str]], locked: dict[str, set[str]]) -> list[str]:
    """One line for each direct pin that the lock does not hold."""
    return [
        f"{name}: pyproject.toml pins {' and '.join(sorted(versions))}, "
        f"envs/lock.txt {' and '.join(sorted(locked.get(name, {'nothing'})))}"
        for name, versions in sorted(direct.items())
        if versions != locked.get(name)
    ]


def read_project(root: Path) -> dict:
    """Read pyproject.toml."""
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))


# --- the virtual environment ----------------------------------------------------------------------------------


def leave_foreign_environments(environment: MutableMapping[str, str]) -> None:
    """Remove what another active virtual or conda environment set, so that only `.venv/` counts."""
    for name in FOREIGN:
        environment.pop(name, None)
    # A user's pip configuration may say `user = true`, which pip refuses inside a virtual environment.
    environment["PIP_USER"] = "0"


@contextlib.contextmanager
def alone(root: Path) -> Iterator[int]:
    """Hold the clone's folder locked, so that two calls never install into one `.venv/`; yields the descriptor.

    Children inherit the descriptor: a pip that outlives its killed parent keeps the next call waiting until it ends.
    """
    descriptor = os.open(root, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another set-up is at work in this clone: waiting for it to end")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            say(f"this file system cannot lock ({error}): do not start two set-ups at once")
        yield descriptor
    finally:
        os.close(descriptor)


def call(arguments: list[str | Path], descriptor: int) -> None:
    """Run a command that talks to the user itself. Raises UserError if it fails."""
    status = subprocess.run(arguments, pass_fds=(descriptor,), check=False).returncode
    if status != 0:
        command = " ".join(str(argument) for argument in arguments[1:])
        raise UserError(
            f"`{command}` ended with status {status}; its own message stands above. "
            "Mend the cause (network, disk space, proxy) and run the same command again: it goes on from here."
        )


def read_stamp(root: Path) -> dict | None:
    """What the last complete set-up left: the hash of the lock and the folder it was made in."""
    path = root / STAMP
    return read_json(path) if path.exists() else None


def usable(python: Path) -> bool:
    """Whether this is a working interpreter, new enough and with pip: not so after a kill or a system upgrade."""
    check = "import sys, pip; sys.exit(sys.version_info < (3, 11))"
    try:
        return subprocess.run([python, "-c", check], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def remove_unfinished(folder: Path) -> list[str]:
    """Remove records of packages that a killed pip left half installed, and return their names.

    pip writes `INSTALLER` after a package's last file; without it the record would make pip skip the package as done.
    Names that start with `~` are what pip moved aside to replace.
    """
    unfinished = [info for info in folder.glob("*.dist-info") if not (info / "INSTALLER").exists()]
    for path in [*unfinished, *folder.glob("~*")]:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    return sorted(info.name for info in unfinished)


def prepare_venv(folder: Path, stamp: dict | None) -> Path:
    """Make sure that `folder` is a working virtual environment and return its interpreter."""
    python = folder / "bin" / "python"
    # Scripts in bin/ name their interpreter by its full path, so an environment that was moved or copied is rebuilt.
    moved = stamp is not None and stamp.get("folder") != str(folder)
    if not moved and usable(python):
        for packages in folder.glob("lib/python3*/site-packages"):
            for name in remove_unfinished(packages):
                say(f"installing {name.removesuffix('.dist-info')} again: it was cut off half-way")
        return python
    say(f"making .venv from Python {sys.version.split()[0]} ({sys.executable})")
    venv.EnvBuilder(clear=True, symlinks=True, with_pip=True, prompt="scalebio").create(folder)
    return python


# --- PyTorch --------------------------------------------------------------------------------------------------


def has_nvidia_gpu() -> bool:
    """Whether an NVIDIA driver is installed."""
    return shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia/version").exists()


def is_cpu_build(report: dict) -> bool:
    """Whether the one wheel in a `pip install --report` document is a build without CUDA or ROCm.

    A local version says so outright (`2.13.0+cpu`, `2.13.0+cu130`); without one, the packages it requires tell.
    """
    metadata = report["install"][0]["metadata"]
    _, _, local = metadata["version"].partition("+")
    if local:
        return local.startswith("cpu")
    required = [entry for entry in metadata.get("requires_dist", []) if "extra ==" not in entry]
    return not any(CUDA_PACKAGE.match(entry) for entry in required)


def offered(python: Path, requirement: str, *options: str) -> dict | None:
    """The `--report` of what pip would install for `requirement`, or None if it finds nothing or cannot connect."""
    asked = [*PIP, "install", "--dry-run", "--ignore-installed", "--no-deps", "--quiet", "--report", "-"]
    answer = subprocess.run([python, *asked, *options, requirement], capture_output=True, text=True, check=False)
    return json.loads(answer.stdout) if answer.returncode == 0 else None


def cpu_options(python: Path, requirement: str) -> list[str] | None:
    """Options that make pip choose a CPU build of torch; None if no CPU build is within reach."""
    briefly = ["--index-url", CPU_INDEX, "--retries", "1", "--timeout", "15"]
    attempts: dict[str, list[str]] = {"pip's configured index": [], CPU_INDEX: briefly}
    for place, options in attempts.items():
        report = offered(python, requirement, *options)
        if report and is_cpu_build(report):
            say(f"{place} offers a CPU build: torch {report['install'][0]['metadata']['version']}")
            return options
        say(f"{place} {'offers torch for CUDA' if report else f'has no {requirement}, or cannot be reached'}")
    return None


def install_torch(python: Path, requirement: str, lock: Path, descriptor: int) -> None:
    """Install torch: on Linux without an NVIDIA GPU a CPU build if one can be had, else pip's default build.

    The default build on Linux brings the CUDA packages that the lock leaves out, hence its dependencies are resolved
    here; those it shares with the lock are held to it.
    """
    options: list[str | Path] = ["--constraint", lock]
    if sys.platform == "linux" and not has_nvidia_gpu():
        say(f"no NVIDIA GPU here: looking for a CPU build of {requirement}")
        if (found := cpu_options(python, requirement)) is None:
            say("WARNING: no CPU build within reach. The CUDA build works too: 3 GB to download, 6 GB of disk")
        else:
            options = ["--no-deps", *found]
    say(f"installing {requirement}")
    call([python, *PIP, "install", *options, requirement], descriptor)


# --- commands -------------------------------------------------------------------------------------------------


def install_lock(python: Path, lines: list[str], compiled: dict[str, str], descriptor: int) -> None:
    """Install the lock's lines as they stand; they are complete, so nothing is resolved.

    `compiled` maps the packages that exist as C source only to the reason why one can do without them.
    """
    needed = [line for line in lines if normalised(re.split("[=[]", line, maxsplit=1)[0]) not in compiled]
    with tempfile.TemporaryDirectory() as scratch:
        requirements = Path(scratch) / "lock.txt"
        write_text(requirements, "\n".join(needed) + "\n")
        call([python, *PIP, "install", "--no-deps", "-r", requirements], descriptor)
    for line in (line for line in lines if line not in needed):
        name = normalised(line.split("==")[0])
        say(f"compiling {name}")
        command = [python, *PIP, "install", "--no-deps", line.split("#")[0].strip()]
        built = subprocess.run(command, pass_fds=(descriptor,), capture_output=True, text=True, check=False)
        if built.returncode != 0:
            say(f"WARNING: {name} could not be compiled; {compiled[name]}.")
            say("To have it: install a C compiler and Python's headers (Debian, Ubuntu: apt install gcc python3-dev),")
            say(f"remove {STAMP} and repeat. The end of pip's message:")
            print("\n".join(f"    {row}" for row in (built.stdout + built.stderr).splitlines()[-12:]), flush=True)


def install(root: Path = ROOT) -> None:
    """Bring `.venv/` to what `envs/lock.txt` pins. Raises UserError if the lock is stale or pip fails."""
    folder, lock = root / ".venv", root / "envs" / "lock.txt"
    text, project = lock.read_text(encoding="utf-8"), read_project(root)
    direct = parse_pins(direct_requirements(project))
    if stale := disagreements(direct, parse_pins(text.splitlines())):
        raise UserError("envs/lock.txt is out of step. Run `make lock`.\n  " + "\n  ".join(stale))
    wanted = {"lock": hashlib.sha256(text.encode()).hexdigest(), "folder": str(folder)}
    stamp = read_stamp(root)
    if stamp == wanted and os.access(folder / "bin" / "python", os.X_OK):
        say("up to date in .venv")
        return
    with alone(root) as descriptor:
        python = prepare_venv(folder, stamp)
        (root / STAMP).unlink(missing_ok=True)
        say("checking pip")
        call([python, *PIP, "install", "--quiet", f"pip=={min(direct['pip'])}"], descriptor)
        install_torch(python, f"torch=={min(direct['torch'])}", lock, descriptor)
        say("installing envs/lock.txt (a first time takes some minutes)")
        install_lock(python, text.splitlines(), project["tool"]["scalebio"]["compiled"], descriptor)
        write_json(root / STAMP, wanted)
    say("ready in .venv")


def resolve(root: Path, requirements: Path, answer: Path, *options: str | Path) -> list[str]:
    """Every pin that follows from a requirements file, for all supported Pythons and platforms, without CUDA packages.

    Those belong to one build of torch, which brings its own; in the lock they would be forced on every machine.
    Pins that already stand in `answer` are kept where they still fit.
    """
    floor = read_project(root)["project"]["requires-python"].removeprefix(">=")
    command = [root / ".venv" / "bin" / "python", "-m", "uv", "pip", "compile", requirements, "-o", answer, "--quiet"]
    command += ["--universal", "--python-version", floor, "--no-header", *options]
    # From the clone's folder, so that no path of this machine gets into the notes on who asked for a package.
    if subprocess.run(command, cwd=root, stdout=subprocess.DEVNULL, check=False).returncode != 0:
        raise UserError("uv found no set of versions that fits; its own message stands above. Mend pyproject.toml.")
    return [line for line in answer.read_text(encoding="utf-8").splitlines() if not CUDA_PACKAGE.match(line)]


def conda_file(name: str, python_version: str, pins: list[str]) -> str:
    """The text of one conda environment: conda brings Python and pip, pip brings the lock's pins."""
    lines = "".join(f"      - {json.dumps(pin)}\n" for pin in pins)
    return (
        f"# Environment `{name}` for `snakemake --sdm conda`, made by `make lock` from pyproject.toml; do not edit.\n"
        f"channels:\n  - conda-forge\n  - nodefaults\n"
        f"dependencies:\n  - python={python_version}\n  - pip\n  - pip:\n{lines}"
    )


def lock(root: Path = ROOT) -> None:
    """Re-make `envs/lock.txt` and the conda files from `pyproject.toml`, keeping earlier pins that still fit."""
    project, target = read_project(root), root / "envs" / "lock.txt"
    conda, direct = project["tool"]["scalebio"]["conda"], parse_pins(direct_requirements(project))
    (uv,) = project["dependency-groups"]["lock"]
    with alone(root) as descriptor, tempfile.TemporaryDirectory() as scratch:
        python = prepare_venv(root / ".venv", read_stamp(root))
        call([python, *PIP, "install", "--quiet", uv], descriptor)
        say("resolving envs/lock.txt")
        draft = Path(scratch) / "lock.txt"
        if target.exists():
            shutil.copy(target, draft)
        pins = resolve(root, Path("pyproject.toml"), draft, "--group", "dev", "--annotation-style", "line")
        header = "# Every pin of the environment, made by `make lock` from pyproject.toml; do not edit."
        files = {target: "\n".join([header, *pins]) + "\n"}
        for name, members in conda["environments"].items():
            say(f"resolving envs/{name}.yaml")
            wanted = Path(scratch) / f"{name}.in"
            write_text(wanted, "".join(f"{member}=={min(direct[member])}\n" for member in members))
            answer = Path(scratch) / f"{name}.txt"
            pins = resolve(root, wanted, answer, "--no-annotate", "--constraint", draft)
            files[root / "envs" / f"{name}.yaml"] = conda_file(name, conda["python"], pins)
        for path, text in files.items():
            write_text(path, text)
            say(f"wrote {path.relative_to(root)}")


def main() -> None:
    """Parse the command line and do what it asks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", nargs="?", choices=["install", "lock"], default="install")
    arguments = parser.parse_args()
    leave_foreign_environments(os.environ)
    try:
        {"install": install, "lock": lock}[arguments.command]()
    except KeyboardInterrupt:
        say("stopped: the next call goes on from here")
        raise


if __name__ == "__main__":
    run(main)
