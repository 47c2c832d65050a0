"""Where a result comes from: hashes of its inputs, settings, code and environment, written into the result itself.

What is no JSON (tables, figures, JSON Lines, Parquet) has it in a JSON file beside: that of the same job, or
`<name>.provenance.json`. Nothing here depends on when or where the job ran, so that on CPUs the same config gives the same bytes on
one machine. `scripts/verify_results.py` compares all of it with the files, knowing nothing of this package.
"""

import hashlib
import json
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from scalebio.dependencies import code_files
from scalebio.files import write_json

LIBRARIES = (
    "numpy",
    "torch",
    "transformers",
    "tokenizers",
    "datasets",
    "pandas",
    "safetensors",
    "reasoning-gym",
    "babel",
)


def sha256(path: str | Path) -> str:
    """Hash of a file, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _version(library: str) -> str | None:
    # The environment that draws figures has no torch.
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def _hashed(files: dict[str, str | Path]) -> dict[str, dict]:
    return {role: {"path": str(path), "sha256": sha256(path)} for role, path in files.items()}


def tokenizer_sha256(tokenizer) -> str | None:
    """Hash of all that makes a fast tokenizer's ids of a text; None for one that is written in Python.

    Padding and truncation are left out: they are set by whoever encodes last.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    content = {
        key: value for key, value in json.loads(backend.to_str()).items() if key not in ("padding", "truncation")
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def provenance(
    settings: dict,
    inputs: dict[str, str | Path],
    tokenizer=None,
    outputs: dict[str, str | Path] | None = None,
    **facts,
) -> dict:
    """Provenance of one result of the running entry point.

    `inputs` and `outputs` map a role to a file; outputs are those of the job that are already written and carry none
    themselves. `facts` are added as they are (device, seed streams, …).
    """
    script = Path(sys.argv[0])
    lock = script.parent.parent / "envs" / "lock.txt"
    canonical = json.dumps(settings, sort_keys=True, ensure_ascii=False)
    result = {
        "settings": settings,
        "settings_sha256": hashlib.sha256(canonical.encode()).hexdigest(),
        "inputs": _hashed(inputs),
        "outputs": _hashed(outputs or {}),
        "code": {file.relative_to(script.parent).as_posix(): sha256(file) for file in code_files(script)},
        "lock_sha256": sha256(lock) if lock.is_file() else None,
        "libraries": {name: _version(name) for name in LIBRARIES},
        "python": platform.python_version(),
        "machine": platform.machine(),
        **facts,
    }
    if tokenizer is not None:
        result["chat_template_sha256"] = hashlib.sha256((tokenizer.chat_template or "").encode()).hexdigest()
        result["tokenizer_sha256"] = tokenizer_sha256(tokenizer)
    return result


def write_beside(output: str | Path, settings: dict, inputs: dict[str, str | Path], tokenizer=None, **others) -> None:
    """Write `<output without its ending>.provenance.json`: provenance of `output` and of the `others`, role → file."""
    output = Path(output)
    outputs = {output.suffix.removeprefix("."): output, **others}
    write_json(
        output.with_name(f"{output.stem}.provenance.json"),
        {"provenance": provenance(settings, inputs, tokenizer, outputs)},
    )


def numbered(paths: list[str | Path], role: str) -> dict[str, str | Path]:
    """Roles for files that are many of one kind."""
    return {f"{role} {number}": path for number, path in enumerate(paths)}
