"""The trials of a cluster say what is there and what is not; the verdict names every fault."""

import pytest

from scalebio.slurm import smoke


def test_a_cpu_passes_here():
    assert [row["ok"] for row in smoke.cpu()] == [True, True]


def test_a_gpu_that_slurm_did_not_give_is_missed(monkeypatch):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has GPUs")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    rows = smoke.gpu()
    assert [row["ok"] for row in rows] == [False, False, False]
    assert rows[0]["found"] == "CUDA_VISIBLE_DEVICES=0,1" and "0 devices; torch is built for" in rows[1]["found"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert smoke.gpu()[0]["ok"]


def test_one_process_is_no_collective():
    rows = smoke.collective()
    assert not rows[0]["ok"] and rows[0]["found"].startswith("1 on ")


def test_the_verdict_is_good_only_if_all_is():
    rows = [{"check": "libraries", "ok": True, "found": "torch"}, {"check": "sum", "ok": True, "found": "right"}]
    result = {"host": "node1", "job": "12", "seconds": 1.25, "rows": rows}
    good, text = smoke.verdict({"cpu": result})
    assert good and "verdict: ready" in text and "cpu (job 12 on node1, 1.2 s)" in text
    bad = {**result, "rows": [*rows, {"check": "torch sees it", "ok": False, "found": "0 devices"}]}
    good, text = smoke.verdict({"cpu": result, "gpu": bad})
    assert not good and "NOT  torch sees it: 0 devices" in text and "verdict: NOT ready" in text
