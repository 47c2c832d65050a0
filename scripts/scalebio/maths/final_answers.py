"""Where the final answer stands in a solution, of a data set or a model: in the last box, or after `####`.

Nothing else is searched for: a number that just happens to stand last is not taken for an answer.
"""

import re

BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s*")


def final_answer(text: str) -> str | None:
    """What stands in the last box, or else after the last `####`; None where there is neither, or nothing in it."""
    return last_box(text) or after_hashes(text)


def last_box(text: str) -> str | None:
    r"""The content of the last closed `\boxed{...}` or `\fbox{...}`; None where there is none, or nothing in it.

    Without braces it is what follows up to `$` or the end of the line, as in some of MATH's own solutions.
    """
    for opening in reversed(list(BOX.finditer(text))):
        rest = text[opening.end() :]
        content = _in_braces(rest) if rest.startswith("{") else re.split(r"[$\n]", rest, maxsplit=1)[0]
        if content is not None:
            return content.strip() or None
    return None


def after_hashes(text: str) -> str | None:
    """What follows the last `####` on its line, as in GSM8K's solutions; None where there is nothing."""
    _, marked, rest = text.rpartition("####")
    return (rest.strip().split("\n")[0].strip() or None) if marked else None


def _in_braces(text: str) -> str | None:
    """What stands between the brace that `text` starts with and its partner; None if it is never closed."""
    depth = 0
    for position, character in enumerate(text):
        if character in "{}" and text[position - 1 : position] != "\\":
            depth += 1 if character == "{" else -1
            if depth == 0:
                return text[1:position]
    return None
