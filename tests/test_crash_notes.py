"""What would come back is noted and ends a retry at once; what another attempt may be spared is not."""

import errno

import pytest
import torch

from scalebio import crash_notes
from scalebio.errors import Retryable, Stopped, UserError
from scalebio.files import read_json


def die_of(error: BaseException, folder, attempt: int = 1) -> None:
    with pytest.raises(type(error)), crash_notes.kept(folder, attempt):
        raise error


def test_a_retry_names_what_the_first_attempt_died_of(tmp_path, monkeypatch):
    folder, note = tmp_path / "finetune", tmp_path / "finetune.failed.json"
    monkeypatch.setenv("SLURM_JOB_ID", "417")
    die_of(UserError("Row 3 has no answer. Remove it."), folder)
    assert read_json(note)["attempt"] == 1
    with pytest.raises(
        UserError, match=r"(?s)Attempt 1 .*SLURM job 417.*Row 3 has no answer.*finetune.failed.json is removed"
    ):
        with crash_notes.kept(folder, 2):
            raise AssertionError("the retry went on")
    assert note.exists()
    with crash_notes.kept(folder, 1):
        assert not note.exists()


@pytest.mark.parametrize(
    "error", [UserError("a"), ZeroDivisionError("b"), torch.OutOfMemoryError("CUDA out of memory"), AssertionError()]
)
def test_these_would_come_back(tmp_path, error):
    die_of(error, tmp_path / "a", attempt=3)
    assert str(error) in read_json(tmp_path / "a.failed.json")["error"]


@pytest.mark.parametrize(
    "error",
    [
        Stopped("at step 3"),
        KeyboardInterrupt(),
        SystemExit(2),
        Retryable("another writer"),
        OSError(errno.ENOSPC, "no space"),
        ConnectionResetError("by peer"),
        MemoryError(),
        torch.distributed.DistNetworkError("timed out"),
        RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:1"),
        RuntimeError("CUDA error: uncorrectable ECC error encountered"),
    ],
)
def test_these_may_be_over_next_time(tmp_path, error):
    die_of(error, tmp_path / "a")
    assert not (tmp_path / "a.failed.json").exists()


def test_the_first_of_several_processes_to_fail_tells(tmp_path):
    note = tmp_path / "a.failed.json"
    with pytest.raises(ValueError), crash_notes.kept(tmp_path / "a", 1):
        die_of(UserError("the cause"), tmp_path / "a", attempt=2)
        raise ValueError("its consequence")
    assert read_json(note)["error"] == "the cause"
