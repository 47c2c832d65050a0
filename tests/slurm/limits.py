"""An outer time limit for a test: a hang is the usual way in which something on a cluster fails.

Whatever a test waits for has a limit of its own; this one is for what nobody thought of. It needs no plugin: an alarm
of the operating system interrupts the main thread, in which pytest and its workers run tests.
"""

import contextlib
import signal

import pytest


@contextlib.contextmanager
def time_limit(seconds: float, what: str):
    """Fail the test if the block takes longer than `seconds` of wall time; not to be nested."""

    def fail(*_):
        pytest.fail(f"{what} took longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, fail)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
