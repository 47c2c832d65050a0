"""What tests/test_writing_lock.py starts: a job that writes one file under a lock, and jobs that race for dead locks.

lock_racers.py write TARGET TEXT HEARTBEAT   says "held", waits for a line, writes TEXT, says "written"
lock_racers.py race FOLDER ROUNDS            in each round, started by the test, says whether it won; holds until told
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

from scalebio import cli, files  # noqa: E402
from scalebio.writing_lock import Held, WritingLock  # noqa: E402


def say(text: str) -> None:
    print(text, flush=True)


def write(target: str, text: str, heartbeat: str) -> None:
    with WritingLock(target, heartbeat=float(heartbeat)):
        say("held")
        sys.stdin.readline()
        files.write_text(target, text)
        say("written")


def race(folder: str, rounds: str) -> None:
    for number in range(int(rounds)):
        sys.stdin.readline()
        try:
            with WritingLock(Path(folder) / str(number), heartbeat=0.05, patience=400):
                say("won")
                sys.stdin.readline()
        except Held:
            say("lost")
            sys.stdin.readline()
        say("ended")


if __name__ == "__main__":
    _, which, *arguments = sys.argv
    cli.run(lambda: {"write": write, "race": race}[which](*arguments))
