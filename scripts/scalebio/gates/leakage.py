"""The gate of leakage: is any question that measures a model, or guides its weights, also in what it is trained on?

Compared are prompts (of plain text, the text): training rows with validation rows, test rows and the questions of MT-Bench, GSM8K
and MATH, validation rows with all but training rows, test rows with benchmarks. `exact` is the same text but for case and white
space, `near` what `near_duplicates` finds. The pool already refuses or drops the exact ones between training and reference;
that none is left is checked here again, on the rows that are used.
"""

from dataclasses import dataclass

from scalebio.gates import verdict
from scalebio.gates.near_duplicates import COMMON, Index
from scalebio.mtbench.questions import OWN
from scalebio.pools import normalised, prompt_key
from scalebio.records import Record

EXAMPLES = 5
SHOWN = 80


@dataclass
class Part:
    """One body of texts: its name, and the label and text of each."""

    name: str
    labels: list[str]
    texts: list[str]


def rows(name: str, records: list[Record]) -> Part:
    """Training, validation or test rows of a pool."""
    return Part(name, [record.name for record in records], [prompt_key(r) for r in records])


def mtbench(questions: list[dict]) -> Part | None:
    """Both turns of MT-Bench's questions; None where they were made of the test rows, which are compared themselves."""
    if questions and questions[0]["set"] == OWN:
        return None
    turns = [(question, place) for question in questions for place in range(len(question["turns"]))]
    labels = [f"question {question['question_id']}, turn {place + 1}" for question, place in turns]
    return Part("mtbench", labels, [normalised(question["turns"][place]) for question, place in turns])


def mathematics(questions: list[dict]) -> Part:
    """The questions of one benchmark."""
    labels = [f"question {question['id']}" for question in questions]
    return Part(questions[0]["benchmark"], labels, [normalised(question["question"]) for question in questions])


def check(experiment: str, pool: list[Part], benchmarks: list[Part], words: int, similarity: float) -> dict:
    """The verdict on one experiment. `pool`: train, validation and test, in this order; `words`, `similarity` as in config."""
    findings = []
    for place, left in enumerate(pool):
        others = pool[place + 1 :] + benchmarks
        first = {}
        for index, text in enumerate(left.texts):
            first.setdefault(text, index)
        distinct = list(first.items())
        index = Index([text for text, _ in distinct], words)
        for right in others:
            findings += _between(left, right, first, distinct, index, similarity)
    names = ", ".join(part.name for part in [*pool, *benchmarks])
    counts = ", ".join(f"{finding['count']} {finding['kind']} {'–'.join(finding['between'])}" for finding in findings)
    what = f"{counts or 'nothing'} among {names} (near: {similarity:.0%} of runs of {words} words)"
    threshold = {"words": words, "similarity": similarity, "common": COMMON}
    return verdict("leakage", experiment, findings, threshold, what)


def _between(
    left: Part, right: Part, first: dict[str, int], distinct: list[tuple[str, int]], index: Index, similarity: float
) -> list[dict]:
    """What of `right` stands in `left`: at most one finding of each kind, with counts and examples."""
    exact = [(i, first[text], 1.0) for i, text in enumerate(right.texts) if text in first]
    same = {i for i, _, _ in exact}
    rest = [i for i in range(len(right.texts)) if i not in same]
    found = index.nearest([right.texts[i] for i in rest], similarity)
    near = [(rest[row.text], distinct[row.indexed][1], row.similarity) for row in found.itertuples()]
    return [
        {
            "between": [left.name, right.name],
            "kind": kind,
            "count": len(pairs),
            "of": len(right.texts),
            "examples": [
                {
                    left.name: left.labels[there],
                    right.name: right.labels[here],
                    "similarity": round(float(share), 4),
                    "text": right.texts[here][:SHOWN],
                }
                for here, there, share in pairs[:EXAMPLES]
            ],
        }
        for kind, pairs in (("exact", exact), ("near", near))
        if pairs
    ]
