"""Graphics cards that a study may name: their memory, and the speed that their makers state. Imports nothing.

Memory is the maker's number in units of 10⁹ bytes; what a card reports is within a few per cent of it. Speeds are peaks of dense
matrix products, bfloat16 with float32 sums, without sparsity; bandwidth is of the card's own memory, `link_gb` of the way to other cards: NVLink where the card has it to all others
of a node, else PCI Express.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Card:
    """One card: `memory_gb` in 10⁹ bytes, `bfloat16_tflops` (10¹² operations a second), `bandwidth_gb` and `link_gb` in 10⁹ bytes a second, one way."""

    memory_gb: float
    bfloat16_tflops: float | None = None
    bandwidth_gb: float | None = None
    link_gb: float | None = None
    source: str = ""


CARDS = {
    "A10": Card(24, 125, 600, 32, "NVIDIA A10 data sheet"),
    "A40": Card(48, 149.7, 696, 32, "NVIDIA A40 data sheet"),
    "A100-40GB": Card(40, 312, 1555, 300, "NVIDIA A100 data sheet"),
    "A100-80GB": Card(80, 312, 2039, 300, "NVIDIA A100 data sheet, SXM"),
    "H100-80GB": Card(80, 989, 3350, 450, "NVIDIA H100 data sheet, SXM"),
    "H200": Card(141, 989, 4800, 450, "NVIDIA H200 data sheet"),
    "L4": Card(24, 121, 300, 32, "NVIDIA L4 data sheet"),
    "L40S": Card(48, 362, 864, 32, "NVIDIA L40S data sheet"),
    "RTX-4090": Card(24, 165.2, 1008, 32, "NVIDIA Ada architecture paper"),
    "RTX-A6000": Card(48, 154.8, 768, 32, "NVIDIA RTX A6000 data sheet"),
}
