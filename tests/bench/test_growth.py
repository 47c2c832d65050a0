"""How cost grows: every setting varies one thing, and sources cost nothing beyond their rows."""

import sys

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from scalebio.bench import growth


def test_each_setting_varies_one_thing_from_the_plain_one():
    for setting in growth.settings():
        others = {name: value for name, value in growth.PLAIN.items() if name != setting["varied"]}
        assert {name: setting[name] for name in others} == others
        assert growth.BATCH % setting["sources"] == 0


class Dispatched(TorchDispatchMode):
    """Counts the operations of torch and the elements that they make."""

    def __init__(self):
        super().__init__()
        self.operations = self.elements = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        made = operation(*args, **(kwargs or {}))
        self.operations += 1
        self.elements += made.numel() if isinstance(made, torch.Tensor) else 0
        return made


def work(run) -> dict:
    """What one step does, counted: the same on an idle machine and on a busy one, which seconds are not."""
    with FlopCounterMode(display=False) as flops:
        run.step()
    with Dispatched() as dispatched:
        run.step()
    calls = [0]

    def count(*_):
        calls[0] += 1

    previous = sys.getprofile()
    sys.setprofile(count)
    try:
        run.step()
    finally:
        sys.setprofile(previous)
    return {
        "flops": flops.get_total_flops(),
        "operations": dispatched.operations,
        "elements": dispatched.elements,
        "calls": calls[0],
    }


def test_sources_cost_nothing_beyond_their_rows():
    """2 and 64 sources at the same global batch. The seconds are measured by `snakemake growth`: 1 % more."""
    made = {}
    for sources in (2, 64):
        run = growth.make(sources, 32, 64)
        run.step()
        made[sources] = work(run)
    assert made[2]["flops"] > 10**9 and made[2]["operations"] > 1000
    assert made[64]["flops"] == made[2]["flops"]
    assert made[64]["operations"] == made[2]["operations"]
    assert made[64]["elements"] < 1.001 * made[2]["elements"]
    assert made[64]["calls"] < 1.05 * made[2]["calls"]
