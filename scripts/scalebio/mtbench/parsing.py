"""The rating inside a judge's text, by FastChat's rule and by one that does not misread.

`robust` decides the score; `strict` stands beside it in every judgment, so that our numbers can be compared with
FastChat's. Both return FAILED where they find no rating, and neither raises.
"""

import ast
import re

FAILED = -1

# FastChat's two patterns (fastchat/llm_judge/common.py), the first preferred.
_STRICT = (re.compile(r"\[\[(\d+\.?\d*)\]\]"), re.compile(r"\[(\d+\.?\d*)\]"))

# The whole number or nothing: otherwise "4.5 out of 5" would be read as a 4 followed by something harmless. What a
# lookahead has matched is never given back; possessive quantifiers would say so more plainly, but go wrong in Python 3.11.2.
_NUMBER = r"(?=(?P<n>[0-9]+(?:\.[0-9]*)?))(?P=n)"
_OF_TEN = r"(?:\s*(?:/|out\ of)\s*10(?![0-9]))?"
_DOUBLE = rf"\[\[[\s*]*(?:rating\s*[:=]\s*)?{_NUMBER}{_OF_TEN}[\s*]*\]\]"
_LABEL = r"\brating(?:\s+is)?[\s*_:=\"'(`]{0,8}"
_NOT_A_SCALE = r"(?!\s*(?:/|out\ of|to|-|–|,)\s*[0-9])"
_LABELLED = re.compile(_LABEL + _DOUBLE, re.IGNORECASE)
_SECOND = _NUMBER.replace("P<n>", "P<m>").replace("P=n", "P=m")
_EITHER = re.compile(f"{_DOUBLE}|{_LABEL}\\[?{_SECOND}{_OF_TEN}{_NOT_A_SCALE}", re.IGNORECASE)
_ALONE = re.compile(rf"(?<![\w\])])\[\s*{_NUMBER}{_OF_TEN}\s*\](?!\])")


def strict(text: str) -> int | float:
    """FastChat's rule: the first `[[n]]`, else the first `[n]`, with no check of the range.

    Its quirks stay (an array index counts as a rating, 85 is a score), except that `[[08]]`, which stops FastChat with
    a SyntaxError, is FAILED here.
    """
    match = next(filter(None, (pattern.search(text) for pattern in _STRICT)), None)
    try:
        return ast.literal_eval(match.group(1)) if match else FAILED
    except (SyntaxError, ValueError):
        return FAILED


def robust(text: str) -> int | float:
    """The last rating in the text, FAILED unless it lies in 1 to 10.

    In order of trust: `Rating: [[n]]`; then whichever comes last of `[[n]]` and `Rating: n`; then a lone `[n]` that
    is not an index. Spaces, `**`, decimals, `n/10` and `n out of 10` are understood; other scales are not ratings.
    """
    for pattern in (_LABELLED, _EITHER, _ALONE):
        matches = list(pattern.finditer(text))
        if matches:
            found = matches[-1].groupdict()
            value = float(found.get("n") or found["m"])
            if not 1 <= value <= 10:
                return FAILED
            return int(value) if value.is_integer() else value
    return FAILED
