"""Where a result comes from: hashes of its inputs, settings, code and environment, written into the result itself.

Nothing here depends on when or where the job ran, so that on CPUs the same config gives the same bytes on one machine.
"""

import hashlib
import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path

from scalebio.dependencies import code_files

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


def provenance(settings: dict, inputs: dict[str, str | Path], tokenizer=None, **facts) -> dict:
    """Provenance of one result of the running entry point.

    `inputs` maps a role to a file; `facts` are added as they are (device, seed streams, …).
    """
    script = Path(sys.argv[0])
    lock = script.parent.parent / "envs" / "lock.txt"
    canonical = json.dumps(settings, sort_keys=True, ensure_ascii=False)
    result = {
        "settings": settings,
        "settings_sha256": hashlib.sha256(canonical.encode()).hexdigest(),
        "inputs": {role: {"path": str(path), "sha256": sha256(path)} for role, path in inputs.items()},
        "code": {file.relative_to(script.parent).as_posix(): sha256(file) for file in code_files(script)},
        "lock_sha256": sha256(lock) if lock.is_file() else None,
        "libraries": {name: version(name) for name in LIBRARIES},
        "python": platform.python_version(),
        "machine": platform.machine(),
        **facts,
    }
    if tokenizer is not None:
        result["chat_template_sha256"] = hashlib.sha256((tokenizer.chat_template or "").encode()).hexdigest()
    return result
