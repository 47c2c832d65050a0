"""Whether a model's final answer equals the known one, as mathematics: by math-verify, within a time limit.

A model can write any expression, also one that takes years to compute, so answers are short and graded against the
clock: that of the processor, so that a busy machine grades alike. math-verify's own rings once, and sympy has places that
swallow what it raises; ours rings until it is heard. Both need the main thread. Only LaTeX is parsed (by latex2sympy's grammar); math-verify's other reading,
of plain expressions, ends in Python's `eval` and is not used.
"""

import logging
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from math_verify import LatexExtractionConfig, parse, verify
from sympy import Basic, MatrixBase

from scalebio.maths.final_answers import final_answer

SECONDS = 5.0  # of processor time
LONGEST = 400  # characters; the longest known answers of MATH have under 200
NO_ANSWER, TOO_LONG = "no final answer", f"more than {LONGEST} characters"
UNREADABLE, OUT_OF_TIME = "not readable as mathematics", "over the time limit"
# A word problem's number may come with its unit: "72 clips", "5\text{ cm}", "18 dollars per day".
NUMBER_AND_WORDS = re.compile(r"([^A-Za-z\\]*\d[^A-Za-z\\]*)(?:\\[,;! ]|\\(?:text|mathrm)\s*\{[^{}]*\}|[A-Za-z./ ])+")

# It warns that the limit is left to us.
logging.getLogger("math_verify").setLevel(logging.ERROR)


class Graded(NamedTuple):
    """A final answer as found (empty where there is none), whether it is right, and why it could not be compared."""

    extracted: str
    correct: bool
    problem: str


class _OutOfTime(BaseException):
    """Not an Exception: math-verify and sympy catch those."""


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Raise _OutOfTime in here once `seconds` of processor time are over, and again every half second, until it gets out."""

    def ring(signum, frame):
        raise _OutOfTime

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, seconds, 0.5)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def grade(benchmark: str, gold: str, answer: str, seconds: float = SECONDS) -> Graded:
    """Grade a model's `answer` (its whole text) against `gold`, the known final answer as LaTeX.

    Right is what math-verify calls equal: 1/2 and 0.5, sets in any order, 50 and 50 %. For GSM8K, whose answers are
    numbers, words after a number are its unit. Must be called in the main thread; takes `seconds` of processor time at most.
    """
    extracted = final_answer(answer)
    if extracted is None:
        return Graded("", False, NO_ANSWER)
    if len(extracted) > LONGEST:
        return Graded(extracted[:LONGEST], False, TOO_LONG)
    given, known = (_plain(benchmark, text) for text in (extracted, gold))
    if given == known:
        return Graded(extracted, True, "")
    try:
        with _within(seconds):
            read = _read(given)
            correct = verify(_read(known), read, timeout_seconds=None)
    except _OutOfTime:
        return Graded(extracted, False, OUT_OF_TIME)
    readable = correct or any(isinstance(value, (Basic, MatrixBase)) for value in read)
    return Graded(extracted, bool(correct), "" if readable else UNREADABLE)


def _read(text: str) -> list:
    return parse(f"${text}$", extraction_config=[LatexExtractionConfig()], parsing_timeout=None)


def _plain(benchmark: str, text: str) -> str:
    """Without what surrounds an answer in running text, and for GSM8K without the unit."""
    text = re.sub(r"\\[()\[\]]", "", text).replace("\\$", "").replace("$", "").strip(" \t*")
    text = text.removesuffix(".").strip()
    if benchmark == "gsm8k" and (found := NUMBER_AND_WORDS.fullmatch(text)):
        return found[1].strip()
    return text
