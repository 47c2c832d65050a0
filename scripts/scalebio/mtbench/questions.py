"""Two-turn questions in FastChat's fields: the real 80, or ones made from an experiment's own test rows.

A question is {"question_id", "category", "turns": [2 texts], "reference": [2 texts] or absent, "set"}. `reference` is
what the judge is shown: FastChat's reference answers (math, reasoning, coding), not the notes for human annotators that
its question file keeps under the same name. `set` says which questions these are; it travels into every later file.
"""

import sys
from collections import Counter
from pathlib import Path

from scalebio.errors import UserError
from scalebio.files import read_jsonl
from scalebio.records import Record
from scalebio.streams import stream

MT_BENCH = "MT-Bench 80"
OWN = "own test set, MT-Bench format"


def mt_bench(path_question: str | Path, path_reference: str | Path, references_by: str) -> list[dict]:
    """The MT-Bench questions with the judge's references, whose author is part of the `set`'s name.

    Raises UserError if they are not the 80 that are meant.
    """
    references = {row["question_id"]: row["choices"][0]["turns"] for row in read_jsonl(path_reference)}
    named = MT_BENCH if references_by == "gpt-4" else f"{MT_BENCH}, {references_by} references"
    questions = []
    for row in read_jsonl(path_question):
        question = {"question_id": row["question_id"], "category": row["category"], "turns": row["turns"]}
        if row["question_id"] in references:
            question["reference"] = references[row["question_id"]]
        questions.append({**question, "set": named})
    per_category = Counter(question["category"] for question in questions)
    ids = [question["question_id"] for question in questions]
    if ids != list(range(81, 161)) or len(per_category) != 8 or set(per_category.values()) != {10}:
        raise UserError(
            f"{path_question}: expected the 80 MT-Bench questions (ids 81 to 160, 8 categories of 10), found "
            f"{len(questions)} questions in {len(per_category)} categories. Name MT-Bench's own question.jsonl."
        )
    if any(len(question["turns"]) != 2 or len(question.get("reference", "ab")) != 2 for question in questions):
        raise UserError(f"{path_question} and {path_reference}: every question and reference needs exactly two turns.")
    return questions


def from_records(records: list[Record], per_category: int, seed: int) -> list[dict]:
    """Two-turn questions made of pairs of test rows of one category, with those rows' answers as references.

    A row gives what the user says first and the answer to it; its category is `category`, or its source where that is
    empty. Rows are shuffled by `seed` and each is used once. A category with fewer than `per_category` pairs gives what
    it has, with a note on stderr; one without a single pair raises UserError.
    """
    by_category: dict[str, list[tuple[str, str]]] = {}
    for record in records:
        if not (record.prompt and record.answers):
            raise UserError(
                f"{record.name}, has no user message with an answer, so no MT-Bench "
                "question can be made of it. Use conversations as test rows, or drop `from_test_set`."
            )
        by_category.setdefault(record.category or record.source, []).append((record.prompt, record.answers[0]))
    if not by_category:
        raise UserError("No test rows to make MT-Bench questions from. Raise `test_rows` of the reference.")
    questions = []
    for category, rows in sorted(by_category.items()):
        pairs = min(per_category, len(rows) // 2)
        if pairs == 0:
            raise UserError(
                f"Category {category!r} has {len(rows)} test row, and a two-turn question needs 2. Raise `test_rows`, "
                "or leave this category out of the reference's `test`."
            )
        if pairs < per_category:
            print(
                f"category {category!r}: {len(rows)} test rows make {pairs} of {per_category} questions",
                file=sys.stderr,
            )
        order = stream(seed, "mtbench questions", category).permutation(len(rows))
        for first, second in order[: 2 * pairs].reshape(-1, 2):
            (turn1, answer1), (turn2, answer2) = rows[first], rows[second]
            questions.append(
                {
                    "question_id": len(questions) + 1,
                    "category": category,
                    "turns": [turn1, turn2],
                    "reference": [answer1, answer2],
                    "set": OWN,
                }
            )
    return questions


def read(path: str | Path) -> list[dict]:
    """Questions written by this room. Raises UserError naming the file where a field is missing."""
    rows = read_jsonl(path)
    for row in rows:
        missing = [key for key in ("question_id", "category", "turns", "set") if key not in row]
        if missing:
            raise UserError(f"{path}: a question lacks {', '.join(missing)}. Write it anew with mtbench_questions.py.")
    return rows
