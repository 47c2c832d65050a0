"""How long a job takes: as measured here for the same job or the next like it, else from operations and a stated speed.

A source comes with every number, and no number without a source. Operations of a token: 2 for each parameter forward, 4 backward, 2
more where activations are computed again. A model that is split is sent whole to every process for each pass, and no overlap with
computing is counted. What attention adds with length is left out (a few per cent at 1,024 tokens), and what
LISA and adapters save backward, so the stated times lean to the high side.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

from scalebio.audit.plan import Planned
from scalebio.audit.work import Work
from scalebio.config import Hardware
from scalebio.parallel import PASS_TOKENS_ELSEWHERE

# Share of a card's peak that training reaches (ours, on the cautious side of published ones: .44 to .52 in arXiv 2104.04473, .46 in
# arXiv 2204.02311). Generating is bound by memory: the same share of the bandwidth.
UTILISATION = 0.3
# PCI Express 4.0 with 16 lanes, one way: between a card and main memory, whatever the card.
HOST_LINK_GB = 32
# Of one CPU core, operations a second by number of parameters: docs/measured.md, "How a step's cost grows" (9,216 tokens a step:
# .48 s at 0.33 million, 4.5 s at 7.9 million).
CPU_SMALL, CPU_LARGE, CPU_BORDER = 38e9, 97e9, 1_000_000
FORWARD, BACKWARD = 2, 4
BFLOAT16, FLOAT32 = 2, 4
STATED_GPU = "stated: operations at {share:.0%} of the {tflops:g} TFLOPS of the {card}, each example at full length"
STATED_LINKS = "; parts of the model sent at {share:.0%} of {link:g} GB/s"
STATED_CPU = (
    "stated: operations at {speed:.0f} billion a second and core (docs/measured.md), each example at full length"
)


@dataclass(frozen=True)
class Time:
    """Seconds of a job, and where the number is from; `seconds` None where there is no source for one."""

    seconds: float | None
    source: str


def measured(job: Planned, jobs: list[Planned]) -> Time | None:
    """What Snakemake measured of this job, else the mean of the same rule with another seed, else None."""
    if not job.benchmark:
        return None
    if (seconds := _seconds(job.benchmark)) is not None:
        return Time(seconds, f"measured ({job.benchmark})")
    alike = [other for other in jobs if other.rule == job.rule and _seedless(other) == _seedless(job)]
    found = [(path, seconds) for other in alike if (seconds := _seconds(path := other.benchmark)) is not None]
    if not found:
        return None
    mean = sum(seconds for _, seconds in found) / len(found)
    return Time(mean, f"measured on {len(found)} other seed{'s' * (len(found) > 1)} ({found[0][0]})")


def _seedless(job: Planned) -> dict[str, str]:
    return {key: value for key, value in job.wildcards.items() if key != "seed"}


def _seconds(path: str | None) -> float | None:
    """The column `s` of a benchmark file; None where there is none, or Snakemake wrote no number."""
    if not path or not Path(path).is_file():
        return None
    with open(path, encoding="utf-8", newline="") as file:
        row = next(csv.DictReader(file, delimiter="\t"), {})
    try:
        return float(row["s"])
    except (KeyError, ValueError):
        return None


def stated(work: Work, parameters: int | None, hardware: Hardware, devices: int, length: int) -> Time:
    """Time from operations, examples being `length` tokens. `devices`: GPUs of the job, or its cores where it has none."""
    if work.unknown:
        return Time(None, f"not known: {work.unknown}")
    if not work.models:
        return Time(0.0, "stated: nothing is learned, so no model is loaded")
    if parameters is None:
        return Time(None, "not known: how many parameters the model has is known only when it is fetched")
    forward = (work.trained + work.forward) * FORWARD
    backward = work.trained * (BACKWARD + (FORWARD if hardware.recompute else 0))
    if not hardware.gpus:
        speed = CPU_SMALL if parameters < CPU_BORDER else CPU_LARGE
        operations = (forward + backward + work.generated * FORWARD) * parameters
        return Time(operations / speed / devices, STATED_CPU.format(speed=speed / 1e9))
    card = hardware.one_gpu
    if not card or not card.bfloat16_tflops:
        return Time(None, "not known: the speed of the card is stated neither by `hardware.card` nor by `gpu_tflops`")
    seconds = (forward + backward) * parameters / (card.bfloat16_tflops * 1e12 * UTILISATION * devices)
    source = STATED_GPU.format(share=UTILISATION, tflops=card.bfloat16_tflops, card=hardware.card or "card")
    if hardware.shard and devices > 1:
        if not card.link_gb:
            return Time(
                None, "not known: how fast parts of the model go from card to card, which `hardware.card` would say"
            )
        seconds += _sending(work, parameters, hardware, devices, length, card.link_gb)
        source += STATED_LINKS.format(share=UTILISATION, link=card.link_gb)
    if work.generated:
        if not card.bandwidth_gb:
            return Time(None, "not known: the bandwidth of the card, which decides how fast it generates")
        # Every token of a batch reads all parameters once.
        reads = work.generated / work.batch * parameters * FLOAT32
        seconds += reads / (card.bandwidth_gb * 1e9 * UTILISATION)
        source += f"; generating at {UTILISATION:.0%} of its {card.bandwidth_gb:g} GB/s"
    return Time(seconds, source)


def _sending(work: Work, parameters: int, hardware: Hardware, devices: int, length: int, link_gb: float) -> float:
    """Seconds in which a split model goes to every process: once for each pass forward and once for each backward.

    In bfloat16 between cards, and where it rests in main memory in float32 from there.
    """
    examples = hardware.micro_batch or max(1, PASS_TOKENS_ELSEWHERE // length)
    times = (2 * work.trained + work.forward) / length / examples / devices
    seconds = parameters * BFLOAT16 / (link_gb * 1e9)
    if hardware.offload:
        seconds += parameters * FLOAT32 / devices / (HOST_LINK_GB * 1e9)
    return times * seconds / UTILISATION
