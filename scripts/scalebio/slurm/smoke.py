"""A trial of what training needs of a cluster, in jobs of seconds: a CPU, a GPU, and two processes that talk.

Each job writes what it found, good or bad; the verdict is read off all three, so that one fault hides no other.
"""

import os
import socket
import sys
import time
from collections.abc import Callable

from scalebio.errors import UserError


def cpu() -> list[dict]:
    """Rows {check, ok, found} of a job on a CPU: the libraries are there, and a step can be computed."""
    return [_tried("libraries", _libraries), _tried("arithmetic", _product("cpu"))]


def gpu() -> list[dict]:
    """The same of a job with one GPU: SLURM gives it exactly one, torch sees that, and it computes."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    one = [name for name in visible.split(",") if name]
    given = {
        "check": "one GPU from SLURM",
        "ok": len(one) == 1,
        "found": f"CUDA_VISIBLE_DEVICES={visible or 'not set'}",
    }
    return [given, _tried("torch sees it", _device), _tried("arithmetic on it", _product("cuda"))]


def collective() -> list[dict]:
    """The same of a job of two processes: both come up, and a sum over them is right. Both must call it."""
    from accelerate.utils import gather_object

    from scalebio.parallel import Parallel

    parallel = Parallel()
    hosts = sorted(set(gather_object([socket.gethostname()])))
    start = time.monotonic()
    both = {"check": "two processes", "ok": parallel.world == 2, "found": f"{parallel.world} on {', '.join(hosts)}"}
    return [both, _tried("a sum over them", lambda: _sum(parallel, start))]


def verdict(results: dict[str, dict]) -> tuple[bool, str]:
    """Whether all is well, and a table for a reader; `results`: what each job wrote, {host, job, seconds, rows}."""
    lines, good = [], True
    for name, result in results.items():
        lines.append(f"{name} (job {result['job'] or 'none'} on {result['host']}, {result['seconds']:.1f} s)")
        for row in result["rows"]:
            good &= row["ok"]
            lines.append(f"  {'ok ' if row['ok'] else 'NOT'}  {row['check']}: {row['found']}")
    lines.append("verdict: ready" if good else "verdict: NOT ready; docs/slurm.md says what each of these needs")
    return good, "\n".join(lines)


TRIALS: dict[str, Callable[[], list[dict]]] = {"cpu": cpu, "gpu": gpu, "collective": collective}


def _tried(check: str, act: Callable[[], str]) -> dict:
    try:
        return {"check": check, "ok": True, "found": act()}
    except (ImportError, RuntimeError, AssertionError, UserError) as error:
        return {"check": check, "ok": False, "found": f"{type(error).__name__}: {error}".splitlines()[0]}


def _libraries() -> str:
    import accelerate
    import torch
    import transformers

    named = {"torch": torch, "transformers": transformers, "accelerate": accelerate}
    return f"Python {sys.version.split()[0]}, " + ", ".join(f"{name} {it.__version__}" for name, it in named.items())


def _product(device: str) -> Callable[[], str]:
    def act() -> str:
        import torch

        square = torch.eye(512, device=device) * 2
        value = (square @ square).sum().item()
        if value != 4 * 512:
            raise RuntimeError(f"a product of matrices has the sum {value}, not {4 * 512}")
        return "a product of matrices is right"

    return act


def _device() -> str:
    import torch

    if torch.cuda.device_count() != 1:
        build = (
            f"torch {torch.__version__} is built for CUDA {torch.version.cuda}"
            if torch.version.cuda
            else "torch is built for CPUs"
        )
        raise RuntimeError(f"{torch.cuda.device_count()} devices; {build}")
    facts = torch.cuda.get_device_properties(0)
    return f"{facts.name}, {facts.total_memory / 1e9:.0f} GB"


def _sum(parallel, start: float) -> str:
    import torch

    total = parallel.sum(torch.tensor([float(parallel.rank + 1)])).item()
    if total != parallel.world * (parallel.world + 1) / 2:
        raise RuntimeError(f"the sum is {total}")
    return f"right, on {parallel.device.type}, after {time.monotonic() - start:.2f} s"
