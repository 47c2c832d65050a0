"""Progress on stderr: a live line on a terminal, one plain line every so often in a log file."""

import sys
import time


class Progress:
    """Call it with (done, total, text, tokens): tokens worked through since the last call, 0 where none are counted.

    On a terminal the line is rewritten twice a second; elsewhere a line is added at most once in `seconds`, and at the
    end. Another `total`, or a step back, begins another stretch of work, with a pace of its own. Only the first of several
    processes should have one.
    """

    def __init__(self, label: str, seconds: float = 10.0, stream=None):
        self.label, self.stream = label, stream or sys.stderr
        self.live = self.stream.isatty()
        self.seconds = 0.5 if self.live else seconds
        self.start = self.last = self.began = self.seen = time.monotonic()
        self.first = self.done = self.total = self.tokens = 0

    def __call__(self, done: int, total: int, text: str = "", tokens: int = 0) -> None:
        now = time.monotonic()
        if total != self.total or done < self.done:
            # A resumed run begins at some step: what came before was not done in this time.
            self.total, self.first, self.tokens, self.began = total, done, 0, self.seen
        self.tokens += tokens
        self.done, self.seen = done, now
        if done < total and now - self.last < self.seconds:
            return
        self.last = now
        took = max(now - self.began, 1e-9)
        left = f", {took / (done - self.first + 1) * (total - done):.0f} s left" if done < total else ""
        speed = f", {self.tokens / took:,.0f} tokens/s" if self.tokens else ""
        line = f"{self.label}: {done}/{total}, {now - self.start:.0f} s{left}{speed}  {text}"
        # ESC [K clears what a longer line left behind.
        end = "" if self.live and done < total else "\n"
        print(f"\r{line}\x1b[K" if self.live else line, end=end, file=self.stream, flush=True)
