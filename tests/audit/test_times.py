"""Where times come from: measured on the same job, on another seed of it, or stated; and that none is made up."""

import pytest
from studies import planned

from scalebio.audit import times
from scalebio.audit.work import Work
from scalebio.config import Hardware

WILDCARDS = {"experiment": "chat", "method": "scalebio"}


def job(path, seed, rule="learn_weights"):
    return planned(rule, wildcards=WILDCARDS | {"seed": str(seed)}, benchmark=str(path / f"seed{seed}.tsv"))


def test_what_was_measured_goes_first(tmp_path):
    jobs = [job(tmp_path, seed) for seed in (0, 1, 2)]
    assert times.measured(jobs[0], jobs) is None
    (tmp_path / "seed1.tsv").write_text("s\th:m:s\tmax_rss\n90.0\t0:01:30\t100\n", encoding="utf-8")
    (tmp_path / "seed2.tsv").write_text("s\th:m:s\tmax_rss\n110.0\t0:01:50\t100\n", encoding="utf-8")
    own, other = times.measured(jobs[1], jobs), times.measured(jobs[0], jobs)
    assert own.seconds == 90 and own.source == f"measured ({jobs[1].benchmark})"
    assert other.seconds == 100 and other.source.startswith("measured on 2 other seeds")
    assert times.measured(job(tmp_path, 0, "finetune"), jobs) is None, "another rule is another job"
    (tmp_path / "seed0.tsv").write_text("s\th:m:s\n-\t-\n", encoding="utf-8")
    assert times.measured(jobs[0], jobs).seconds == 100, "no number was written"


def test_stated_times_follow_from_operations():
    cpu = times.stated(Work(trained=1000), 2_000_000, Hardware(), 2, 100)
    assert cpu.seconds == pytest.approx(1000 * 6 * 2e6 / 97e9 / 2) and "docs/measured.md" in cpu.source
    gpus = Hardware(gpus=8, processes=8, card="H100-80GB", recompute=True)
    gpu = times.stated(Work(trained=10**6, forward=10**6), 10**9, gpus, 8, 100)
    assert gpu.seconds == pytest.approx(10**15 * (8 + 2) / (989e12 * 0.3 * 8)) and "989" in gpu.source
    split = Hardware(gpus=8, processes=8, card="H100-80GB", shard=True, micro_batch=1)
    sent = times.stated(Work(trained=8000), 10**9, split, 8, 100)
    # 80 examples in ten passes of eight, each sent forward and backward.
    assert sent.seconds == pytest.approx(8000 * 6e9 / (989e12 * 0.3 * 8) + 20 * 2e9 / (450e9 * 0.3))
    one = Hardware(gpus=1, card="A40")
    asked = times.stated(Work(generated=3000, batch=30), 10**9, one, 1, 100)
    assert asked.seconds == pytest.approx(100 * 4e9 / (696e9 * 0.3)) and "GB/s" in asked.source


@pytest.mark.parametrize(
    "work, parameters, hardware, reason",
    [
        (Work(unknown="nobody knows"), 10, Hardware(), "nobody knows"),
        (Work(trained=1), None, Hardware(), "when it is fetched"),
        (Work(trained=1), 10, Hardware(gpus=1), "hardware.card"),
        (Work(generated=1), 10, Hardware(gpus=1, gpu_memory_gb=10, gpu_tflops=10), "bandwidth"),
    ],
)
def test_no_number_without_a_source(work, parameters, hardware, reason):
    time = times.stated(work, parameters, hardware, 1, 100)
    assert time.seconds is None and reason in time.source
