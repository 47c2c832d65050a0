"""What every entry point does with settings, faults and signals, seen from outside."""

import os
import signal
import subprocess
import sys

import pytest

from scalebio import cli


@pytest.fixture
def start(root):
    """start(body) → the process of an entry point whose `main` has that body."""

    def run(body: str, *arguments: str) -> subprocess.Popen:
        lines = "\n".join(f"    {line}" for line in body.splitlines())
        script = f"import sys, time\nfrom scalebio.cli import claim, parser, run\nfrom scalebio.errors import UserError\ndef main():\n{lines}\nrun(main)"
        return subprocess.Popen(
            [sys.executable, "-c", script, *arguments],
            env={**os.environ, "PYTHONPATH": str(root / "scripts")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return run


def test_success_is_silent(start):
    process = start("print('done')")
    assert process.communicate() == ("done\n", "") and process.returncode == 0


def test_a_user_error_is_one_message_and_status_2(start):
    process = start("raise UserError('file a.jsonl, line 3: no answer. Mend it.')")
    assert process.communicate() == ("", "error: file a.jsonl, line 3: no answer. Mend it.\n")
    assert process.returncode == 2


def test_any_other_error_keeps_its_traceback(start):
    process = start("1 / 0")
    assert "ZeroDivisionError" in process.communicate()[1] and process.returncode == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_unwind_and_end_with_status_130(start, number):
    process = start("try:\n    print('started', flush=True)\n    time.sleep(60)\nfinally:\n    print('tidied')")
    assert process.stdout.readline() == "started\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert out == "tidied\n"
    assert err == "stopped before the end; the next run starts this job again\n"
    assert process.returncode == 130


@pytest.mark.parametrize("end", ["pass", "1 / 0", "raise UserError('no')", "sys.exit(3)"])
def test_what_a_job_claims_is_let_go_however_it_ends(start, tmp_path, end):
    process = start(
        f"import os\nclaim('{tmp_path}/a', None, '{tmp_path}/b')\nprint(sorted(os.listdir('{tmp_path}')))\n{end}"
    )
    assert process.communicate()[0] == "['.a.lock', '.b.lock']\n"
    assert list(tmp_path.iterdir()) == []


def test_what_a_job_claims_is_let_go_at_sigterm(start, tmp_path):
    process = start(f"claim('{tmp_path}/a')\nprint('claimed', flush=True)\ntime.sleep(60)")
    assert process.stdout.readline() == "claimed\n" and (tmp_path / ".a.lock").exists()
    process.terminate()
    assert process.wait(30) == 130 and list(tmp_path.iterdir()) == []


def test_of_several_processes_the_first_claims_for_all(start, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    process = start(f"import os\nclaim('{tmp_path}/a')\nprint(os.listdir('{tmp_path}'))")
    assert process.communicate()[0] == "[]\n"


def test_settings_arrive_as_a_mapping(start):
    process = start("print(parser('About.').parse_args().settings['größe'])", "--settings", '{"größe": "\'\\"ß"}')
    assert process.communicate()[0] == "'\"ß\n"


def test_settings_that_are_no_json_are_refused(start):
    process = start("parser('About.').parse_args()", "--settings", "{rows: 3}")
    assert "not valid JSON" in process.communicate()[1] and process.returncode == 2


def test_settings_default_to_nothing():
    assert cli.parser("About.").parse_args([]).settings == {}
