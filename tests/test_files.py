"""Result files: all or nothing, and no litter of killed jobs."""

import os
import signal
import socket
import subprocess
import sys

import pytest

from scalebio.errors import UserError
from scalebio.files import read_json, read_jsonl, replacing, write_json, write_jsonl, write_text

HOST = socket.gethostname()


@pytest.fixture(scope="module")
def dead_process() -> int:
    """The number of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_text_is_written_and_replaced(tmp_path):
    path = tmp_path / "new" / "a.txt"
    write_text(path, "erste")
    write_text(path, "Füße")
    assert path.read_text(encoding="utf-8") == "Füße"
    assert names(path.parent) == ["a.txt"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError):
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_the_final_name_appears_only_at_the_end(tmp_path):
    path = tmp_path / "figure.pdf"
    with replacing(path) as temporary:
        temporary.write_text("x")
        assert not path.exists()
        assert temporary.parent == tmp_path and temporary.suffix == ".pdf"
    assert path.exists()


def test_a_folder_replaces_a_folder(tmp_path):
    path = tmp_path / "model"
    for text in ("old", "new"):
        with replacing(path) as temporary:
            temporary.mkdir()
            (temporary / f"{text}.txt").write_text(text)
    assert names(path) == ["new.txt"]
    assert names(tmp_path) == ["model"]


def test_a_failing_folder_leaves_the_old_one(tmp_path):
    path = tmp_path / "model"
    path.mkdir()
    (path / "old.txt").write_text("old")
    with pytest.raises(RuntimeError):
        with replacing(path) as temporary:
            temporary.mkdir()
            (temporary / "half.txt").write_text("half")
            raise RuntimeError
    assert names(path) == ["old.txt"]
    assert names(tmp_path) == ["model"]


def test_temporaries_of_dead_processes_go_and_others_stay(tmp_path, dead_process):
    gone = [f".a.{HOST}.{dead_process}.part.txt", f".a.{HOST}.{os.getpid()}.part.txt"]
    kept = [
        f".a.{HOST}.{os.getppid()}.part.txt",  # alive
        f".a.elsewhere-{HOST}.{dead_process}.part.txt",  # another host's, of which we know nothing
        f".b.{HOST}.{dead_process}.part.txt",  # another file's
        f".a.{HOST}.{dead_process}.part.json",
    ]
    for name in gone + kept:
        (tmp_path / name).write_text("half")
    write_text(tmp_path / "a.txt", "whole")
    assert names(tmp_path) == sorted([*kept, "a.txt"])


def test_folders_of_dead_processes_go_too(tmp_path, dead_process):
    for name in (f".model.{HOST}.{dead_process}.part", f".model.{HOST}.{dead_process}-old.part"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half.bin").write_text("half")
    with replacing(tmp_path / "model") as temporary:
        temporary.mkdir()
    assert names(tmp_path) == ["model"]


def test_a_killed_process_leaves_no_final_name_and_the_next_cleans_up(tmp_path, root):
    script = (
        "import os, signal, sys; from scalebio.files import replacing\n"
        "with replacing(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    path = tmp_path / "a.txt"
    environment = {**os.environ, "PYTHONPATH": str(root / "scripts")}
    done = subprocess.run([sys.executable, "-c", script, str(path)], env=environment)
    assert done.returncode == -signal.SIGKILL
    assert not path.exists() and len(names(tmp_path)) == 1
    write_text(path, "whole")
    assert names(tmp_path) == ["a.txt"]


def test_json_round_trip_is_readable_and_refuses_nan(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"weights": {"größer": 0.1}})
    assert read_json(path) == {"weights": {"größer": 0.1}}
    assert path.read_text(encoding="utf-8") == '{\n  "weights": {\n    "größer": 0.1\n  }\n}\n'
    with pytest.raises(ValueError):
        write_json(path, {"loss": float("nan")})
    assert read_json(path) == {"weights": {"größer": 0.1}}


def test_malformed_json_names_file_and_line(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{\n  "a": 1,\n  "b" 2\n}')
    with pytest.raises(UserError, match=r"a\.json, line 3: not valid JSON"):
        read_json(path)


def test_jsonl_round_trip_skips_blank_lines_and_names_the_bad_one(tmp_path):
    path = tmp_path / "a.jsonl"
    write_jsonl(path, [{"a": "ß"}, {"a": "line\nbreak"}])
    assert len(path.read_text(encoding="utf-8").splitlines()) == 2
    path.write_text(path.read_text(encoding="utf-8") + "\n\n", encoding="utf-8")
    assert read_jsonl(path) == [{"a": "ß"}, {"a": "line\nbreak"}]
    with path.open("a", encoding="utf-8") as file:
        file.write('{"a": \n')
    with pytest.raises(UserError, match=r"a\.jsonl, line 5: .*Mend or remove this line"):
        read_jsonl(path)
