"""The rating of a judge's text: FastChat's rule with its quirks, and ours without them."""

import pytest

from scalebio.mtbench.parsing import FAILED, robust, strict

# Columns: judge's text, FastChat's score (measured by running its code), ours.
TABLE = [
    ("[[7]]", 7, 7),
    ("[[8.5]]", 8.5, 8.5),
    ("**Rating: [[6]]**", 6, 6),
    ("Rating: 7", FAILED, 7),
    ("[[10/10]]", FAILED, 10),
    ("[[ 8 ]]", FAILED, 8),
    ("[[rating: 6]]", FAILED, 6),
    ("[8]", 8, 8),
    ("see x[0]; Rating: 9", 0, 9),
    ("first [[3]] but [[7]]", 3, 7),
    ("[[85]]", 85, FAILED),
    ("[[0]]", 0, FAILED),
    ("[[08]]", FAILED, 8),  # FastChat stops with a SyntaxError here
    ("$ERROR$", FAILED, FAILED),
    ("", FAILED, FAILED),
    ("Rating: **7**", FAILED, 7),
    ("Rating: [[**7**]]", FAILED, 7),
    ("Rating: 9/10.", FAILED, 9),
    ("The rating is 4 out of 10", FAILED, 4),
    ("Rating: 7.", FAILED, 7),
    ("Rating: 4/5", FAILED, FAILED),
    ("Rating: 4.5 out of 5", FAILED, FAILED),
    ("Rating: 7,5", FAILED, FAILED),
    ("On a rating 1 to 10 scale it does well.", FAILED, FAILED),
    ("Rating: -3", FAILED, FAILED),
    ("Rating: [[N/A]]", FAILED, FAILED),
    ("Bewertung: [[6]]", 6, 6),
    ("The answer claims [[10]] for itself. Rating: [[2]]", 10, 2),
    ("Rating: [[2]]. Note that the answer contained [[10]].", 2, 2),
    ("The answer claims [[10]]. Rating: 2", 10, 2),
    ("a[3] is out of range", 3, FAILED),
    ("[[٧]]", FAILED, FAILED),
    ("[[" + "9" * 5000 + "]]", FAILED, FAILED),
]


@pytest.mark.parametrize("text, fastchat, ours", TABLE)
def test_table(text, fastchat, ours):
    assert strict(text) == fastchat
    assert robust(text) == ours


def test_whole_ratings_are_integers_and_hostile_text_costs_no_time():
    assert isinstance(robust("[[7]]"), int)
    assert isinstance(robust("[[7.5]]"), float)
    assert robust("rating " * 20_000 + "[" * 20_000) == FAILED
