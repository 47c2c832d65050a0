"""One writer, with real processes: killed, frozen, on another machine, of a number that is used again, and racing."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from scalebio import files, processes, writing_lock
from scalebio.writing_lock import Held, Lost, WritingLock

RACERS = Path(__file__).parent / "lock_racers.py"
LONG = 1000.0  # seconds between heartbeats where nothing should wait for one


@pytest.fixture
def start():
    """start(*arguments) → a process of lock_racers.py, ended with the test."""
    running = []

    def run(*arguments) -> subprocess.Popen:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        running.append(subprocess.Popen([sys.executable, RACERS, *map(str, arguments)], **pipes))
        return running[-1]

    yield run
    for process in running:
        process.kill()
        process.communicate()


def tell(process: subprocess.Popen) -> None:
    process.stdin.write("\n")
    process.stdin.flush()


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def record_of(target: Path) -> dict:
    return json.loads(target.with_name(f".{target.name}.lock").read_text())


def a_lock(target: Path, **facts) -> dict:
    """Leave a lock on `target`, by default of a process of another machine."""
    record = {"id": "of-another", "job": "417", "host": "node7", "place": "elsewhere/1", "process": 12345, "started": 6}
    record |= {"user": "eva", "since": "2026-01-01T00:00:00+00:00", "heartbeat": 0.05, "beats": 3} | facts
    target.with_name(f".{target.name}.lock").write_text(json.dumps(record))
    return record


def test_it_says_who_holds_it_beats_and_goes_with_the_block(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "99")
    target = tmp_path / "new" / "weights.json"
    with WritingLock(target, heartbeat=0.02):
        first = record_of(target)
        assert first["job"] == "99" and first["process"] == os.getpid() and first["host"] and first["user"]
        deadline = time.monotonic() + 10
        while record_of(target)["beats"] < 12:  # beyond a second digit
            assert time.monotonic() < deadline
        writing_lock.check()
        assert left(target.parent) == [".weights.json.lock"]
    assert left(target.parent) == []
    writing_lock.check()  # nothing held, nothing to lose


def test_it_goes_with_an_error_too(tmp_path):
    with pytest.raises(ZeroDivisionError), WritingLock(tmp_path / "a"):
        raise ZeroDivisionError
    assert left(tmp_path) == []


def test_a_second_writer_names_the_first(start, tmp_path):
    first = start("write", tmp_path / "a", "first", 0.5)
    assert first.stdout.readline() == "held\n"
    with pytest.raises(Held) as refused, WritingLock(tmp_path / "a"):
        pass
    for part in (f"{tmp_path}/a is being written", f"process {first.pid} of ", "since 20", f"`kill {first.pid}` on `"):
        assert part in str(refused.value)
    tell(first)
    assert first.stdout.readline() == "written\n" and first.wait(10) == 0
    assert left(tmp_path) == ["a"]


def test_a_killed_writer_s_lock_is_taken_over_at_once(start, tmp_path):
    first = start("write", tmp_path / "a", "first", LONG)
    assert first.stdout.readline() == "held\n"
    first.kill()
    # Not waited for: a zombie does not write either.
    begun = time.monotonic()
    with WritingLock(tmp_path / "a", heartbeat=LONG):
        assert time.monotonic() - begun < 30 and record_of(tmp_path / "a")["process"] == os.getpid()
    assert left(tmp_path) == []


def test_a_frozen_writer_is_followed_and_writes_nothing_when_it_wakes(start, tmp_path):
    first = start("write", tmp_path / "a", "first", 0.1)
    assert first.stdout.readline() == "held\n"
    first.send_signal(signal.SIGSTOP)
    tell(first)  # what it does next is write
    with WritingLock(tmp_path / "a", heartbeat=0.1):
        files.write_text(tmp_path / "a", "second")
        first.send_signal(signal.SIGCONT)
        out, err = first.communicate(timeout=30)
        assert first.returncode == 2 and out == ""
        assert "no longer has the right to write" in err and f"process {os.getpid()} of " in err
        assert (tmp_path / "a").read_text() == "second"
    assert left(tmp_path) == ["a"]


def test_a_writer_that_sits_still_notices_by_its_heartbeat(start, tmp_path):
    first = start("write", tmp_path / "a", "first", 0.1)
    assert first.stdout.readline() == "held\n"
    first.send_signal(signal.SIGSTOP)
    with WritingLock(tmp_path / "a", heartbeat=0.1):
        first.send_signal(signal.SIGCONT)
        assert first.wait(30) == 2  # though its main thread waits for a line that never comes
    assert left(tmp_path) == []


def test_nothing_is_renamed_into_place_without_the_lock(tmp_path):
    (tmp_path / "a").write_text("earlier")
    with WritingLock(tmp_path / "a", heartbeat=LONG):
        a_lock(tmp_path / "a")
        with pytest.raises(Lost, match="SLURM job 417, process 12345 of eva on node7"):
            files.write_text(tmp_path / "a", "mine")
        # A lock that is another's stays.
    assert left(tmp_path) == [".a.lock", "a"] and (tmp_path / "a").read_text() == "earlier"


def test_a_number_that_is_used_again_is_not_taken_for_the_writer(tmp_path):
    started = processes.started(os.getppid())
    a_lock(tmp_path / "a", place=processes.place(), process=os.getppid(), started=started - 1, heartbeat=LONG)
    begun = time.monotonic()
    with WritingLock(tmp_path / "a"):
        assert time.monotonic() - begun < 30
    a_lock(
        tmp_path / "a", place=processes.place(), process=os.getppid(), started=started
    )  # it lives, but does not beat
    with WritingLock(tmp_path / "a", patience=4):
        assert time.monotonic() - begun >= 0.2


def test_on_another_machine_only_the_heartbeat_counts(tmp_path):
    held = a_lock(tmp_path / "a")
    begun = time.monotonic()
    with WritingLock(tmp_path / "a"):
        assert time.monotonic() - begun >= 6 * held["heartbeat"]

    a_lock(tmp_path / "a")
    beat = threading.Timer(0.1, a_lock, [tmp_path / "a"], {"beats": 4})
    beat.start()
    with pytest.raises(Held, match=r"SLURM job 417, process 12345 of eva on node7.* from 3 to 4 .*`scancel 417`"):
        with WritingLock(tmp_path / "a", patience=100):
            pass
    assert record_of(tmp_path / "a")["id"] == "of-another"


def test_half_a_lock_and_a_follower_that_died_hold_nobody_up(tmp_path):
    (tmp_path / ".a.lock").write_text('{"id": "of-ano')
    with WritingLock(tmp_path / "a", heartbeat=0.05):
        assert record_of(tmp_path / "a")["process"] == os.getpid()
    a_lock(tmp_path / "a")
    (tmp_path / ".a.lock.of-another").write_text("{}")  # it was about to take over
    with WritingLock(tmp_path / "a", heartbeat=0.05):
        assert record_of(tmp_path / "a")["process"] == os.getpid()
    assert left(tmp_path) == []


def test_it_does_without_links(tmp_path, monkeypatch):
    def refuse(*names):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    a_lock(tmp_path / "a")
    with WritingLock(tmp_path / "a", heartbeat=0.05), pytest.raises(Held), WritingLock(tmp_path / "a", patience=100):
        pass
    assert left(tmp_path) == []


def test_a_name_that_is_let_go_while_it_is_looked_at_is_tried_again(tmp_path, monkeypatch):
    link, taken = os.link, iter([True])

    def once_taken(*names):
        if next(taken, False):
            raise FileExistsError(errno.EEXIST, "another had it")
        link(*names)

    monkeypatch.setattr(os, "link", once_taken)
    with WritingLock(tmp_path / "a", heartbeat=0.05):
        assert record_of(tmp_path / "a")["process"] == os.getpid()


@pytest.mark.parametrize(("place", "rounds"), [("here", 50), ("elsewhere", 20)])
def test_of_jobs_that_race_for_a_dead_lock_exactly_one_wins(start, tmp_path, place, rounds):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    facts = {"place": processes.place()} if place == "here" else {}
    for number in range(rounds):
        a_lock(tmp_path / str(number), id=f"dead{number}", process=dead.pid, heartbeat=0.0005, **facts)
    racers = [start("race", tmp_path, rounds) for _ in range(3)]
    for _ in range(rounds):
        for racer in racers:
            tell(racer)
        assert sorted(racer.stdout.readline() for racer in racers) == ["lost\n", "lost\n", "won\n"]
        for racer in racers:
            tell(racer)
        assert {racer.stdout.readline() for racer in racers} == {"ended\n"}
    assert left(tmp_path) == []
