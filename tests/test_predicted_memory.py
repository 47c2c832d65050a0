"""Predicted peak memory against bytes counted by hand, against its own order, published sums, and real processes."""

import pandas as pd
import pytest
import torch
from transformers import LlamaConfig

from scalebio import memory_check, memory_trace, predicted_memory, published_memory
from scalebio.config import Lisa, Lora
from scalebio.figures import house
from scalebio.figures import memory_check as figure
from scalebio.predicted_memory import CPU_BASE, CUDA_BASE, peak

TINY = {"vocab_size": 64, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2}
WAY = predicted_memory._Way("cpu", False, torch.float32, None, None, 2, 32, False, False, False)
LISA, LORA = Lisa(layers=2, interval=5), Lora(rank=2, alpha=4)


def predicted(shape=TINY, **changes):
    """The peak of reweighting a shape in full, two rows of 32 tokens a pass, on a CPU, but for `changes`."""
    settings = {"lisa": None, "lora": None, "models": 2, "micro_batch": 2, "max_length": 32, "device": "cpu"}
    return peak(LlamaConfig(**shape), **settings | changes)


def test_what_is_held_by_hand():
    """A layer: 4 · 16² of attention, 3 · 16 · 32 of its MLP, two norms of 16: 2,592; outside 2 · 64 · 16 + 16 = 2,064."""
    everything, layer, outside = 4 * 2592 + 2064, 2592, 2064
    full = predicted()
    assert (full.parameters, full.gradients, full.states) == (8 * everything, 4 * everything, 16 * everything)
    some = predicted(lisa=LISA)
    assert (some.gradients, some.states) == (4 * (2 * layer + outside), 16 * (2 * layer + outside))
    tied = predicted(TINY | {"tie_word_embeddings": True})
    assert tied.parameters == 8 * (everything - 64 * 16)
    assert full.base == CPU_BASE and predicted(device="cuda").base == CUDA_BASE
    assert full.total == full.parameters + full.gradients + full.states + full.activations + full.logits + full.base
    # All logits of a pass fit into one chunk: 62 answer tokens of 64, float32.
    assert full.logits == 62 * 64 * 4


def test_an_operation_by_hand():
    """y = W (x + 1) and y² are alive while they are held, x + 1 no longer, and nothing once they are let go."""
    with memory_trace.FakeTensorMode():
        weight, x = torch.empty(8, 4), torch.empty(4, 10)
    alive = memory_trace.Alive(vocabulary=10, before=[weight])
    with alive:
        y = weight @ (x + 1)
        squared = y * y
        assert alive.now == 4 * (80 + 80) and alive.logits == alive.now
        del y, squared
    assert alive.now == 0


def test_the_line_through_two_depths_is_exact():
    four, six = memory_trace.Count((10, 30, 5), (1, 0, 0)), memory_trace.Count((14, 32, 5), (1, 0, 0))
    deep = four.at_depth(4, six, 6, 16)
    assert deep.alive == (34, 42, 5) and deep.most == 42 and deep.logits_then == 0
    # Of the shape itself: twelve layers by the line are what twelve layers are.
    config, way = LlamaConfig(**TINY | {"num_hidden_layers": 12}), WAY
    shape = predicted_memory._Shape("", config)
    assert predicted_memory._counted(shape, way, True).most == predicted_memory._at_depth(shape, way, True, 12).most


def test_order():
    """More of what costs memory is never less, and what is to save it does."""
    full = predicted()
    assert predicted(max_length=64).activations > full.activations
    assert predicted(micro_batch=4).activations > full.activations
    assert predicted(TINY | {"num_hidden_layers": 12}).activations > full.activations
    assert predicted(models=1).total < full.total
    assert predicted(lisa=LISA).total < full.total and predicted(lora=LORA).states < predicted(lisa=LISA).states
    frozen = Lisa(layers=2, interval=5, embeddings=False)
    assert predicted(lisa=frozen).total < predicted(lisa=LISA).total
    assert predicted(recompute=True).activations < full.activations
    assert predicted(passes=1).total <= full.total
    assert predicted(dtype=torch.bfloat16).states == full.states // 2


def test_sharding_divides_what_is_held():
    one, four = predicted(passes=1), predicted(passes=1, processes=4, shard=True)
    for part in ("parameters", "gradients", "states"):
        assert getattr(four, part) == getattr(one, part) // 4
    # Before its last pass, FSDP2 holds whole gradients in every process.
    assert predicted(processes=4, shard=True).gradients == predicted().gradients
    on_cpu = predicted(device="cuda", processes=4, shard=True, offload=True)
    assert on_cpu.parameters == on_cpu.states == 0 < on_cpu.activations


def test_another_device_is_refused():
    with pytest.raises(ValueError, match="not cpu or cuda"):
        predicted(device="tpu")


def test_published_arithmetic_is_reproduced():
    for one in published_memory.arithmetic():
        assert one.ratio == pytest.approx(1, abs=0.01), one


@pytest.mark.slow
@pytest.mark.parametrize(("trains", "published"), [("full", 59)])
def test_a_published_measurement_is_reproduced(trains, published):
    """LLaMA-2-7B in table 1 of the LISA paper; docs/memory.md has every entry and what explains the gaps."""
    one = published_memory.in_bfloat16("LLaMA-2-7B", trains)
    assert (one.total - one.base) / 1e9 == pytest.approx(published, rel=0.15)


def test_the_figure_shows_every_run():
    rows = [
        {"run": name, "model": run.model, "job": run.job, "trains": run.trains, "processes": run.processes}
        | {"predicted_mb": 1000.0, "measured_mb": 1100.0, "predicted_above_mb": 400.0, "measured_above_mb": 500.0}
        for name, run in memory_check.RUNS.items()
    ]
    with house.style():
        drawn = figure.draw(pd.DataFrame(rows), {})
    assert [len(axes.lines) for axes in drawn.axes] == [1 + len(rows)] * 2
    assert all("MB" in axes.get_xlabel() for axes in drawn.axes)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "wide reweighting full",
        "wide reweighting LISA",
        "wide reweighting LoRA",
        "wide fine-tuning full",
        "wide fine-tuning LoRA",
        "wide reweighting full 2 replicated",
    ],
)
def test_real_runs_hold_what_was_predicted(name):
    """Of all the process's memory, and above the imports, which no prediction decides (docs/memory.md)."""
    row = memory_check.row(memory_check.RUNS[name])
    assert row["ratio"] == pytest.approx(1, abs=0.15), row
    assert row["ratio_above"] == pytest.approx(1, abs=0.15), row
