"""Killed and resumed runs end with the bits of uninterrupted ones; foreign checkpoints are refused; none is half written."""

import copy
import json
import os
import re
import shlex
import signal
import sys
import time

import jobs
import pandas as pd
import psutil
import pytest
import torch

from scalebio import checkpoints, lora, processes
from scalebio.bilevel import Bilevel
from scalebio.checkpoints import Checkpoints
from scalebio.config import Hardware, Lisa, Lora
from scalebio.config_methods import ScaleBiO
from scalebio.errors import Retryable, Stopped, UserError
from scalebio.finetuning import FineTuning, Recipe
from scalebio.launching import launch_line
from scalebio.parallel import Parallel
from scalebio.streams import stream
from scalebio.writing_lock import Lost, WritingLock

SETTINGS = {"kind": "scalebio", "steps": 7, "learning_rate": 1e-3, "per_source": 2, "validation_batch": 3, "ramp": 2}
MODES = {
    "full": ({}, None),
    "lisa": ({}, Lisa(layers=1, interval=2)),
    "frozen_embeddings": ({}, Lisa(layers=2, interval=3, embeddings=False)),
    "lora": ({"resync_every": 2}, Lora(rank=4, alpha=8)),
    "lora_acl": ({"semantics": "official_acl"}, Lora(rank=4, alpha=8, dropout=0.3)),
    "resync": ({"resync_every": 2}, None),
    "double_sampling": ({"resync_every": 2, "double_sampling": True, "weight_beta2": 0.9}, Lisa(layers=1, interval=2)),
    "acl": ({"semantics": "official_acl"}, Lisa(layers=1, interval=2)),
    "v1": ({"semantics": "official_v1"}, Lisa(layers=1, interval=2)),
}


def what_trains(tiny, trains) -> tuple:
    """A copy of the tiny model, with adapters if these train, and LISA's settings if its layers do."""
    adapters = isinstance(trains, Lora)
    return lora.attach(copy.deepcopy(tiny[0]), trains if adapters else None, 0), None if adapters else trains


def reweighting(tiny, make_examples, mode: str) -> Bilevel:
    changes, trains = MODES[mode]
    base, layers = what_trains(tiny, trains)
    by_source = [make_examples(12, source=i, seed=i) for i in range(3)]
    settings = ScaleBiO(**SETTINGS | changes)
    job = Bilevel(base, by_source, make_examples(9, seed=99), settings, 0, 64, layers)
    job.steps = settings.steps
    return job


def bits(job) -> list[torch.Tensor]:
    learners = (job.u, job.w) if isinstance(job, Bilevel) else (job.learner,)
    found = [parameter.detach() for learner in learners for parameter in learner.parameters]
    return found + ([job.logits] if isinstance(job, Bilevel) else [])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("at", [1, 4])
def test_resumed_weights_and_models_are_bit_identical(tiny, make_examples, tmp_path, mode, at):
    through = reweighting(tiny, make_examples, mode)
    stopped = reweighting(tiny, make_examples, mode)
    for job, steps in ((through, 7), (stopped, at)):
        for _ in range(steps):
            job.step()
    Checkpoints(tmp_path, {"a": 1}, Parallel()).save(stopped)
    resumed = reweighting(tiny, make_examples, mode)
    checkpoints.run(resumed, Checkpoints(tmp_path, {"a": 1}, Parallel()))
    assert resumed.done == 7 and all(map(torch.equal, bits(through), bits(resumed)))


@pytest.mark.parametrize(
    "trains", [None, Lisa(layers=1, interval=2), Lora(rank=4, alpha=8), Lora(rank=4, alpha=8, dropout=0.3)]
)
def test_resumed_fine_tuning_is_bit_identical(tiny, make_examples, tmp_path, trains):
    def job():
        (model, layers), examples = what_trains(tiny, trains), make_examples(20)
        masks = stream(0, "c") if getattr(trains, "dropout", 0) else None
        options = {"validation": make_examples(5), "evaluations": 3, "dropout_rng": masks}
        return FineTuning(model, examples, Recipe(9, 4, 1e-3, 2), 64, stream(0, "a"), stream(0, "b"), layers, **options)

    through, stopped, resumed = job(), job(), job()
    for _ in range(9):
        through.step()
    for _ in range(5):
        stopped.step()
    Checkpoints(tmp_path, {}, Parallel()).save(stopped)
    checkpoints.run(resumed, Checkpoints(tmp_path, {}, Parallel()))
    assert all(map(torch.equal, bits(through), bits(resumed)))
    assert resumed.rows == through.rows and resumed.drawn == through.drawn


def test_at_most_two_are_kept_and_none_is_left_half_written(tiny, make_examples, tmp_path):
    job = reweighting(tiny, make_examples, "full")
    kept = Checkpoints(tmp_path, {}, Parallel(), seconds=0)
    for _ in range(4):
        job.step()
        kept.save(job)
    (tmp_path / ".step-0000009.part").mkdir()  # what a killed process leaves
    assert sorted(path.name for path in tmp_path.glob("step-*")) == ["step-0000003", "step-0000004"]
    again = reweighting(tiny, make_examples, "full")
    assert Checkpoints(tmp_path, {}, Parallel()).restore(again) == 4
    kept.remove()
    assert not tmp_path.exists()


def test_another_run_s_checkpoint_is_refused_with_the_key_that_differs(tiny, make_examples, tmp_path):
    job = reweighting(tiny, make_examples, "full")
    job.step()
    identity = {"settings": {"steps": 7, "alpha": 10.0}, "code": {"bilevel.py": "aa"}}
    Checkpoints(tmp_path, identity, Parallel()).save(job)
    other = {"settings": {"steps": 7, "alpha": 3.0}, "code": {"bilevel.py": "aa"}}
    with pytest.raises(UserError, match=r"`settings\.alpha` was 10\.0 and is 3\.0.*or remove"):
        Checkpoints(tmp_path, other, Parallel()).restore(job)


def test_slow_checkpoints_come_less_often(tmp_path):
    kept = Checkpoints(tmp_path, {}, Parallel(), seconds=0.0)
    kept.last, kept.cost = time.monotonic() - 10, 1.0
    assert not kept.due()  # one second of writing is paid for by twenty
    kept.last = time.monotonic() - 21
    assert kept.due()
    assert not Checkpoints(None, {}, Parallel(), seconds=0.0).due()


def test_sigterm_checkpoints_after_the_step_and_says_so(tiny, make_examples, tmp_path):
    job = reweighting(tiny, make_examples, "lisa")

    def on_step(seen):
        if seen.step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(
        Stopped, match="stopped by a signal after step 3 of 7; the next run goes on from .*step-0000003"
    ):
        checkpoints.run(job, Checkpoints(tmp_path, {}, Parallel()), on_step)
    assert signal.getsignal(signal.SIGTERM) is before


def test_every_sigterm_is_held_back_until_the_checkpoint_is_written(tiny, make_examples, tmp_path):
    job = reweighting(tiny, make_examples, "lisa")

    def on_step(seen):
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped, match="after step 1 of 7; the next run goes on from .*step-0000001"):
        checkpoints.run(job, Checkpoints(tmp_path, {}, Parallel()), on_step)


@pytest.mark.parametrize("minutes, cost, steps", [(60, 0, 59), (60, 25, 58.75), (60, 900, 48), (2, 0, 1.6)])
def test_the_last_minutes_are_kept_for_a_checkpoint(tmp_path, monkeypatch, minutes, cost, steps):
    """A minute, or three times what the last one took, but no more than a fifth; and a step must fit in before."""
    kept = Checkpoints(tmp_path, {}, Parallel(), minutes=minutes)
    kept.cost = cost
    for seconds, late in ((60 * steps - 11, False), (60 * steps - 9, True)):
        monkeypatch.setattr(processes, "age", lambda seconds=seconds: seconds)
        assert kept.late(step_seconds=10) == late
    assert not Checkpoints(None, {}, Parallel(), minutes=minutes).late(1e9)  # nothing to keep, so nothing to stop for
    assert not Checkpoints(tmp_path, {}, Parallel()).late(1e9)


def test_a_run_in_pieces_of_its_time_ends_with_the_same_bits(tiny, make_examples, tmp_path, monkeypatch):
    through = reweighting(tiny, make_examples, "lisa")
    for _ in range(7):
        through.step()
    pieces, clock = 0, [0.0]
    monkeypatch.setattr(processes, "age", lambda: clock[0])
    while True:
        clock[0] = 5000.0  # of 5940 in two hours without their last minute
        job = reweighting(tiny, make_examples, "lisa")

        def on_step(seen):
            clock[0] += 1000

        try:
            checkpoints.run(job, Checkpoints(tmp_path, {}, Parallel(), minutes=120), on_step)
            break
        except Stopped as stopped:
            pieces += 1
            assert f"because its 120 minutes (`runtime`) are nearly over after step {3 * pieces} of 7" in str(stopped)
    assert pieces == 2 and all(map(torch.equal, bits(through), bits(job)))


def test_a_run_that_would_never_get_anywhere_says_so(tiny, make_examples, tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "age", lambda: 50.0)
    with pytest.raises(Retryable, match="1 minutes .* before its first step: starting took 50 s.*more `runtime`"):
        checkpoints.run(
            reweighting(tiny, make_examples, "full"), Checkpoints(tmp_path / "a", {}, Parallel(), minutes=1)
        )
    assert not (tmp_path / "a").exists()


def test_without_the_lock_no_checkpoint_is_written_or_removed(tiny, make_examples, tmp_path):
    job = reweighting(tiny, make_examples, "full")
    kept = Checkpoints(tmp_path / "a", {}, Parallel())
    job.step()
    with WritingLock(tmp_path / "a", heartbeat=1000):
        kept.save(job)
        (tmp_path / ".a.lock").unlink()
        job.step()
        for act in (lambda: kept.save(job), kept.remove):
            with pytest.raises(Lost, match="its lock .* has been removed"):
                act()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["step-0000001"]


# --- real processes ---


@pytest.fixture(scope="module")
def inputs(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    jobs.make_inputs(tiny, folder)
    return folder


def results(out) -> tuple:
    """Everything a run found out, bit for bit, but times, memory, and the folder that it was written to."""
    if (out / "weights.json").exists():
        table = pd.read_parquet(out / "trajectory.parquet")
        table = table[~table["quantity"].isin(["seconds", "peak_memory_gb"])]
        made = out / "weights.json"
    else:
        table = pd.read_parquet(out / "training.parquet")
        made = out / "model" / "provenance.json"
    found = json.loads(made.read_text().replace(str(out), "out"))
    del found["provenance"]["content_sha256"]  # it covers the folder's name too
    return found, table.to_csv()


def kill_after_a_checkpoint(process, folder, number: int) -> None:
    deadline = time.monotonic() + 120
    while len(list(folder.glob("step-*"))) == 0 or int(max(folder.glob("step-*")).name[5:]) < number:
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    # A launcher's workers lead sessions of their own.
    for one in (*psutil.Process(process.pid).children(recursive=True), process):
        one.kill()
    process.wait()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("which", "trains"),
    [
        ("weights", {"lisa": {"layers": 1, "interval": 3, "embeddings": True}}),
        ("finetune", {"lora": {"rank": 4, "alpha": 8, "dropout": 0.1}}),
    ],
)
def test_a_run_killed_at_a_random_step_ends_as_if_it_had_not_been(inputs, tmp_path, which, trains):

    def command(out):
        more = ("--checkpoints", f"{out}/checkpoints", "--checkpoint-seconds", "0")
        if which == "weights":
            return jobs.weights_command(inputs, out, *more, method={"steps": 60, "resync_every": 10}, **trains)
        return jobs.finetune_command(inputs, out, *more, **trains)

    jobs.run(command(tmp_path / "through"))
    out = tmp_path / "killed"
    process = jobs.start(command(out))
    kill_after_a_checkpoint(process, out / "checkpoints", number=4)
    assert not (out / "weights.json").exists() and not (out / "model").exists()
    jobs.run(command(out))
    assert results(out) == results(tmp_path / "through")
    assert not (out / "checkpoints").exists()


@pytest.mark.slow
def test_sigterm_ends_with_its_own_status(inputs, tmp_path):
    more = ("--checkpoints", f"{tmp_path}/checkpoints", "--checkpoint-seconds", "0")
    process = jobs.start(jobs.weights_command(inputs, tmp_path, *more, method={"steps": 4000}))
    deadline = time.monotonic() + 120
    while not list((tmp_path / "checkpoints").glob("step-*")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 75 and "the next run goes on from" in output and "Traceback" not in output


@pytest.mark.slow
def test_sharded_processes_killed_and_resumed_end_as_if_they_had_not_been(inputs, tmp_path):
    launcher = ("env", *shlex.split(launch_line(sys.executable, Hardware(processes=2))))

    def command(out):
        more = ("--shard", "--checkpoints", f"{out}/checkpoints", "--checkpoint-seconds", "0")
        return jobs.weights_command(inputs, out, *more, method={"steps": 40}, lisa={"layers": 1, "interval": 3})

    jobs.run(command(tmp_path / "through"), *launcher)
    out = tmp_path / "killed"
    process = jobs.start(command(out), *launcher)
    kill_after_a_checkpoint(process, out / "checkpoints", number=4)
    alone = [part for part in command(out) if part != "--shard"]
    assert "`processes` was 2 and is 1" in jobs.run(alone, status=2)
    jobs.run(command(out), *launcher)
    assert results(out) == results(tmp_path / "through")


@pytest.mark.slow
def test_a_job_s_time_counts_from_its_start(inputs, tmp_path):
    """Here it is over once torch is loaded; tests/slurm/test_faults_of_limits.py stops one in the middle of its steps."""
    more = ("--checkpoints", f"{tmp_path}/checkpoints", "--minutes", "0.01")
    output = jobs.run(jobs.finetune_command(inputs, tmp_path, *more), status=2)
    said = re.search(r"0.01 minutes \(`runtime`\) were over.* before its first step: starting took (\d+) s", output)
    assert said and int(said[1]) >= 1, output
    assert not list((tmp_path / "checkpoints").glob("step-*"))


@pytest.mark.slow
def test_where_another_job_writes_none_of_several_processes_goes_on(inputs, tmp_path):
    launcher = ("env", *shlex.split(launch_line(sys.executable, Hardware(processes=2))))
    command = jobs.weights_command(inputs, tmp_path, "--checkpoints", f"{tmp_path}/checkpoints/learn_weights")
    with WritingLock(tmp_path / "checkpoints/learn_weights", heartbeat=0.5):
        process = jobs.start(command, *launcher)
        begun, workers = time.monotonic(), set()
        while process.poll() is None and time.monotonic() - begun < 120:
            workers |= set(psutil.Process(process.pid).children(recursive=True))
            time.sleep(0.05)
        output = process.stdout.read()
        assert process.wait(1) == 1
        assert f"error: {tmp_path}/checkpoints/learn_weights is being written by another job: " in output
        assert f"process {os.getpid()} of " in output
        assert len(workers) >= 2 and not any(one.is_running() for one in workers)
    assert not (tmp_path / "weights.json").exists()
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == []


@pytest.mark.slow
def test_a_full_disk_stops_with_a_message_and_leaves_earlier_results(inputs, tmp_path):
    """A limit on the size of files stands in for the disk: the same errors come from the same calls."""
    earlier = '{"weights": "earlier"}'
    (tmp_path / "weights.json").write_text(earlier)
    more = ("--checkpoints", f"{tmp_path}/checkpoints", "--checkpoint-seconds", "0")
    command = jobs.weights_command(inputs, tmp_path, *more)
    output = jobs.run(command, "prlimit", "--fsize=20000", sys.executable, status=2)
    assert "error: step 1: the checkpoint in " in output and "Free some space" in output and "Traceback" not in output
    assert (tmp_path / "weights.json").read_text() == earlier
    assert not list((tmp_path / "checkpoints").glob("step-*"))
