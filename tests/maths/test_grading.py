"""Final answers found and graded: model outputs written by hand, whose verdicts anyone can check, and hostile ones."""

import time

import pytest

from scalebio.maths import grading
from scalebio.maths.final_answers import after_hashes, final_answer, last_box
from scalebio.maths.grading import NO_ANSWER, OUT_OF_TIME, TOO_LONG, UNREADABLE, grade


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (r"so $\boxed{42}$.", "42"),
        (r"\boxed{\frac{1}{\sqrt{2}}} it is", r"\frac{1}{\sqrt{2}}"),
        (r"first \boxed{1}, then \boxed{2}", "2"),
        (r"\boxed{x = \boxed{3}}", "3"),
        (r"\fbox{7}", "7"),
        (r"thus $\boxed 5$ holds", "5"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{3} and, cut off, \boxed{4", "3"),
        (r"\boxed{}", None),
        (r"\boxed{4", None),
        (r"\boxedness{4}", None),
        ("no box, but 42", None),
    ],
)
def test_the_last_closed_box_is_the_answer(text, found):
    assert last_box(text) == found


def test_hashes_count_where_there_is_no_box():
    assert final_answer("6 * 7 = 42\n#### 42\nNext question: 5") == "42"
    assert final_answer("#### 41\n" + r"No: \boxed{42}") == "42"
    assert after_hashes("#### 1\n#### 2 ") == "2" and after_hashes("####\n") is None and after_hashes("42") is None


RIGHT = [
    ("gsm8k", "72", r"\boxed{72}"),
    ("gsm8k", "72", "She sold 72.\n#### 72"),
    ("gsm8k", "1,080", r"\boxed{1080}"),
    ("gsm8k", "1080", r"\boxed{\$1,080.00}"),
    ("gsm8k", "18", r"\boxed{18 dollars}"),
    ("gsm8k", "18", "#### 18 dollars per day."),
    ("gsm8k", "5", r"\boxed{5\text{ widgets}}"),
    ("gsm8k", "5", r"\boxed{5.}"),
    ("gsm8k", "25", r"\boxed{25\%}"),
    ("gsm8k", "42", r"\boxed{41}, no: \boxed{42}"),
    ("math", r"\frac{1}{2}", r"\boxed{0.5}"),
    ("math", r"\frac{3}{4}", r"\boxed{\dfrac34}"),
    ("math", r"1\frac{1}{2}", r"\boxed{3/2}"),
    ("math", r"50\%", r"\boxed{\frac{1}{2}}"),
    ("math", "10000", r"\boxed{10,\!000}"),
    ("math", r"2\sqrt{3}", r"\boxed{\sqrt{12}}"),
    ("math", "x^2-1", r"\boxed{(x-1)(x+1)}"),
    ("math", "5", r"\boxed{x = 5}"),
    ("math", "5", r"\boxed{5\text{ cm}^2}"),
    ("math", "90", r"\boxed{90^\circ}"),
    ("math", r"\{1,2\}", r"\boxed{\{2, 1\}}"),
    ("math", "-2, 2", r"\boxed{2,-2}"),
    ("math", r"(-\infty,2)\cup(3,\infty)", r"\boxed{(3,\infty) \cup (-\infty,2)}"),
    ("math", r"\begin{pmatrix}1\\2\end{pmatrix}", r"\boxed{\begin{pmatrix} 1 \\ 2 \end{pmatrix}}"),
    ("math", r"\text{east}", r"\boxed{\text{east}}"),
    ("math", "@!", r"\boxed{@!}"),  # what cannot be read can still be the same
]
WRONG = [
    ("gsm8k", "72", r"\boxed{71}", ""),
    ("gsm8k", "42", r"\boxed{42}, no: \boxed{41}", ""),
    ("gsm8k", "5", r"\boxed{-5}", ""),
    ("gsm8k", "3", r"\boxed{3 hours and 5 minutes}", ""),
    ("gsm8k", "3", r"\boxed{30}", ""),
    ("math", "(1,2)", r"\boxed{(2,1)}", ""),
    ("math", "(0,1)", r"\boxed{[0,1]}", ""),
    ("math", r"\frac{1}{3}", r"\boxed{0.3}", ""),
    ("math", "2", r"\boxed{2x}", ""),
    ("gsm8k", "42", "It is 42.", NO_ANSWER),
    ("gsm8k", "42", r"\boxed{}", NO_ANSWER),
    ("gsm8k", "42", "", NO_ANSWER),
    ("math", "42", r"\boxed{@#!}", UNREADABLE),
    ("math", "42", r"\boxed{" + "1+" * 200 + "1}", TOO_LONG),
]


@pytest.mark.parametrize(("benchmark", "gold", "answer"), RIGHT)
def test_right_answers(benchmark, gold, answer):
    assert grade(benchmark, gold, answer)[1:] == (True, "")


@pytest.mark.parametrize(("benchmark", "gold", "answer", "problem"), WRONG)
def test_wrong_answers_and_why_some_could_not_be_compared(benchmark, gold, answer, problem):
    assert grade(benchmark, gold, answer)[1:] == (False, problem)


@pytest.mark.parametrize(
    "hostile", ["9^{9^{9^{9}}}", r"\sum_{n=1}^{100000000} \frac{1}{n}", "{(" * 60 + "1" + ")}" * 60]
)
def test_an_answer_that_takes_for_ever_is_given_up_and_the_next_one_graded(hostile):
    start = time.process_time()
    assert grade("math", "42", rf"\boxed{{{hostile}}}", seconds=0.5).problem == OUT_OF_TIME
    assert time.process_time() - start < 2
    assert grade("math", "42", r"\boxed{42.0}").correct


def test_the_clock_rings_until_it_is_heard():
    rung = 0
    with pytest.raises(BaseException, match="^$") as caught:
        with grading._within(0.1):
            while True:
                try:
                    while True:
                        pass
                except BaseException:  # as sympy has in places
                    rung += 1
                    if rung == 2:
                        raise
    assert caught.type is grading._OutOfTime and rung == 2
    time.sleep(0.01)  # rings no more


def test_answers_are_read_and_never_run(tmp_path):
    target = tmp_path / "ran"
    for code in (f"__import__('pathlib').Path('{target}').touch()", f"open('{target}','w')"):
        for text in (rf"\boxed{{{code}}}", f"#### {code}"):
            assert not grade("math", "42", text).correct
    assert not target.exists()
