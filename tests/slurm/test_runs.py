"""A run counts as alive by its process on the same host, and by its signs of life from another."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from scalebio.slurm import runs


@pytest.fixture
def entry(tmp_path):
    """Write the entry of the run `other`, as this process would, with changes."""
    run = runs.Run(tmp_path, "other")
    file = tmp_path / "other.json"

    def write(**changes):
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))
        return run

    return write


def test_a_process_of_this_host_tells_at_once(tmp_path, entry):
    said = []
    entry()
    assert runs.alive(tmp_path, "other", said.append)
    entry(start=1)  # its number was given to another process
    assert not runs.alive(tmp_path, "other", said.append)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    entry(process=dead.pid)
    assert not runs.alive(tmp_path, "other", said.append)
    assert said == []


def test_no_entry_or_a_torn_one_is_no_life(tmp_path, entry):
    assert not runs.alive(tmp_path, "never seen", print)
    run = entry()
    (tmp_path / "other.json").write_text('{"host": "x"')
    assert not runs.alive(tmp_path, "other", print)
    run.remove()
    run.remove()
    assert not runs.alive(tmp_path, "other", print)


def test_another_host_lives_if_it_renews_its_entry(tmp_path, entry):
    said = []
    entry(host="login2", place="login2", beats=5)
    threading.Timer(0.3, lambda: entry(beats=6)).start()
    assert runs.alive(tmp_path, "other", said.append, look=20, pause=0.05)
    assert "login2" in said[0]
    assert not runs.alive(tmp_path, "other", said.append, look=0.2, pause=0.05)


def test_an_old_entry_of_another_host_is_not_waited_for(tmp_path, entry):
    entry(host="login2", place="login2")
    os.utime(tmp_path / "other.json", (time.time() - 2 * runs.STALE,) * 2)
    said = []
    assert not runs.alive(tmp_path, "other", said.append)
    assert said == []
