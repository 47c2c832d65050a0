"""One line of progress every so often, on stderr, fit for a log file as well as for a terminal."""

import sys
import time


class Progress:
    """Call it with (done, total, text); prints at most once in `seconds`, and always at the end."""

    def __init__(self, label: str, seconds: float = 5.0):
        self.label, self.seconds = label, seconds
        self.start = self.last = time.monotonic()

    def __call__(self, done: int, total: int, text: str = "") -> None:
        now = time.monotonic()
        if done < total and now - self.last < self.seconds:
            return
        self.last = now
        elapsed = now - self.start
        left = f", {elapsed / done * (total - done):.0f} s left" if done < total else ""
        print(f"{self.label}: {done}/{total}, {elapsed:.0f} s{left}  {text}", file=sys.stderr, flush=True)
