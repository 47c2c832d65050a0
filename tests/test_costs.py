"""Predicted memory against sums by hand and against what a run holds."""

import csv

import jobs
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from scalebio import costs, smoke
from scalebio.config import Lisa
from scalebio.parallel import Parallel

SHAPE = {"vocab_size": 64, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2}


def test_llama_3_8b_by_hand():
    """8,030,261,248 parameters, 218,112,000 a layer, 1,050,677,248 outside the layers (embeddings, head and final norm)."""
    shape = {"vocab_size": 128_256, "hidden_size": 4096, "intermediate_size": 14_336, "num_hidden_layers": 32}
    with torch.device("meta"):
        model = LlamaForCausalLM(LlamaConfig(**shape, num_attention_heads=32, num_key_value_heads=8))
    trained = 1_050_677_248 + 2 * 218_112_000
    assert costs.trained_parameters(model, Lisa(layers=2, interval=20)) == trained
    held = costs.held(model, Lisa(layers=2, interval=20), models=2, processes=8, shard=True)
    assert (held.parameters, held.gradients, held.states) == (8_030_261_248, trained // 2, trained * 2)


def test_adapters_of_llama_3_8b_by_hand():
    """Rank 16 at q, k, v, o, gate, up and down of 32 layers: 16 (8192 + 2 · 5120 + 8192 + 3 · 18,432) each, 41,943,040 in all."""
    shape = {"vocab_size": 128_256, "hidden_size": 4096, "intermediate_size": 14_336, "num_hidden_layers": 32}
    shape |= {"num_attention_heads": 32, "num_key_value_heads": 8}
    held = smoke.predicted("lora", shape, models=2)
    own = 41_943_040
    assert (held.parameters, held.gradients, held.states) == (4 * (8_030_261_248 + 2 * own), 4 * own, 16 * own)
    split = smoke.predicted("lora", shape, models=2, processes=8, shard=True)
    assert split.parameters == 8_030_261_248 + own and split.states == 2 * own


def test_every_mode_runs_and_holds_what_was_predicted():
    rows = list(smoke.modes(SHAPE, 16, Parallel()))
    assert [row["outcome"] for row in rows] == ["ran"] * 8
    for row in rows:
        held = smoke.predicted(row["trains"], SHAPE, 2 if row["job"] == "reweighting" else 1)
        assert row["state_gb"] * 1e9 == pytest.approx(held.parameters + held.states, abs=1)
        assert row["predicted_peak_gb"] * 1e9 > held.parameters + held.gradients + held.states
        assert f"{row['job']}" in smoke.line(row)


def test_what_cannot_fit_is_said_and_skipped(monkeypatch):
    least = smoke.predicted_peak("frozen embeddings", SHAPE, 1, 16, Parallel()).total
    monkeypatch.setattr(smoke, "_room", lambda parallel: least)
    outcomes = {(row["job"], row["trains"]): row["outcome"] for row in smoke.modes(SHAPE, 16, Parallel())}
    assert outcomes["reweighting", "full"].startswith("does not fit")
    assert outcomes["fine-tuning", "frozen embeddings"] == "ran"


@pytest.mark.slow
def test_the_command(tmp_path):
    output = jobs.run(["scripts/smoke_test.py", "--shape", "tiny", "--tokens", "32", "--output", f"{tmp_path}/out.csv"])
    assert output.count(": ran") == 8
    with open(tmp_path / "out.csv") as file:
        assert len(list(csv.DictReader(file))) == 8
