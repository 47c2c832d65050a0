"""The gate of leakage: planted duplicates of known similarity, an independent count, boilerplate, and what is compared."""

import random

import numpy as np
import pytest

from scalebio.config import PoolSettings, Reference
from scalebio.gates import FAILED, PASSED, leakage
from scalebio.gates.near_duplicates import Index, ngrams, words
from scalebio.mtbench.questions import MT_BENCH, OWN
from scalebio.pools import build
from scalebio.records import Record

WORDS = 8


def text(length, seed, vocabulary=5000):
    rng = random.Random(seed)
    return " ".join(f"w{rng.randrange(vocabulary)}" for _ in range(length))


def reference(left, right, length, common):
    """Similarity of each pair by sets of tuples, as the docstring of `Index.nearest` says it."""

    def grams(sentence):
        found = words(sentence)
        return {tuple(found[i : i + length]) for i in range(max(len(found) - length + 1, 1))} if found else set()

    left, right = [grams(sentence) for sentence in left], [grams(sentence) for sentence in right]
    spread = {}
    for found in left:
        for gram in found:
            spread[gram] = spread.get(gram, 0) + 1
    boilerplate = {gram for gram, count in spread.items() if count > common}
    kept = [found - boilerplate for found in right]
    return [[len(found & other) / len(found) if found else 0.0 for other in left] for found in kept]


def test_planted_duplicates_are_found_with_their_similarity():
    """20 words are 13 runs of 8; a new word k places from the end breaks the last min(k, 8) of them."""
    planted = text(20, "planted").split()
    training = [text(30, i) for i in range(200)] + ["before it " + " ".join(planted) + " and after"]
    index = Index(training, WORDS)
    for place, broken in ((1, 1), (2, 2), (3, 3), (8, 8), (12, 8)):
        asked = [*planted[: 20 - place], "other", *planted[20 - place + 1 :]]
        found = index.nearest([" ".join(asked)], 0.01)
        assert found[["text", "indexed"]].values.tolist() == [[0, 200]]
        assert found["similarity"][0] == pytest.approx(1 - broken / 13)
    # Case, white space and compatibility forms are the same word; a threshold that is met exactly is met.
    assert index.nearest(["\u00a0 " + " ".join(planted).upper()], 1.0)["similarity"].tolist() == [1.0]
    assert index.nearest([text(20, "another")], 0.01).empty


def test_every_similarity_is_that_of_a_count_by_sets():
    """A small vocabulary, so that many texts share n-grams and some n-grams are boilerplate."""
    left = sorted({text(6 + i % 9, i, vocabulary=4) for i in range(120)})
    right = [text(5 + i % 9, 1000 + i, vocabulary=4) for i in range(60)] + ["", "w1", "w1 w2"]
    expected = reference(left, right, 3, common=10)
    found = Index(left, 3).nearest(right, 0.5)
    best = {i: max(shares) for i, shares in enumerate(expected) if max(shares) >= 0.5}
    assert 5 < len(best) < len(right)
    assert dict(zip(found["text"], found["similarity"], strict=True)) == pytest.approx(best)
    for row in found.itertuples():
        assert expected[row.text][row.indexed] == max(expected[row.text]) == pytest.approx(row.similarity)


def test_short_texts_are_compared_whole_and_boilerplate_is_none():
    training = [f"Please state the final answer to the following problem : {i} + 1" for i in range(40)] + ["5 + 3"]
    found = Index(training, WORDS).nearest(
        ["5 - 3", "5+3", "Please state the final answer to the following problem : 90 + 7"], 0.2
    )
    assert found[["text", "indexed"]].values.tolist() == [[1, 40]]
    assert words("Ｗｉｅ heißt DAS?") == ["wie", "heisst", "das", "?"] and words("東京 ok") == ["東", "京", "ok"]
    assert len(ngrams(["", "  "], WORDS)) == 0


def pool_of(**texts):
    return [leakage.Part(name, [f"{name} {i}" for i in range(len(rows))], rows) for name, rows in texts.items()]


def test_each_pair_of_parts_is_compared_once_and_counted():
    long = text(40, "long")
    pool = pool_of(
        train=["one question", "one question", long, text(30, 1)],
        validation=["one question", "valid"],
        test=["valid", "tested"],
    )
    asked = [{"question_id": 81, "turns": ["unrelated", long + " indeed"], "set": MT_BENCH}]
    solved = [{"benchmark": "gsm8k", "id": 7, "question": "Tested"}]
    made = leakage.check("e", pool, [leakage.mtbench(asked), leakage.mathematics(solved)], WORDS, 0.8)
    assert made["verdict"] == FAILED
    seen = [(*finding["between"], finding["kind"], finding["count"], finding["of"]) for finding in made["findings"]]
    assert seen == [
        ("train", "validation", "exact", 1, 2),
        ("train", "mtbench", "near", 1, 2),
        ("validation", "test", "exact", 1, 2),
        ("test", "gsm8k", "exact", 1, 1),
    ]
    near = made["findings"][1]["examples"][0]
    assert near["train"] == "train 2" and near["mtbench"] == "question 81, turn 2"
    assert near["similarity"] == pytest.approx(33 / 34, abs=1e-4) and near["text"] == (long + " indeed")[:80]
    assert "1 near train–mtbench" in made["what"]
    # Questions made from the test rows would only be found in them.
    assert leakage.mtbench([{**asked[0], "set": OWN}]) is None


def test_what_the_pool_drops_is_gone_and_what_is_merely_near_is_found():
    def record(source, row, prompt):
        return Record([{"role": "user", "content": prompt}, {"role": "assistant", "content": f"a{row}"}], source, row)

    held_out = [text(30, f"v{i}") for i in range(12)]
    sources = {"v": [record("v", i, prompt) for i, prompt in enumerate(held_out)]}
    sources["x"] = [record("x", i, text(30, f"x{i}")) for i in range(20)]
    sources["y"] = [
        record("y", i, prompt) for i, prompt in enumerate([held_out[0], text(30, "own"), held_out[1] + " so"])
    ]
    wanted = Reference.model_validate({"validation": {"v": 1}, "validation_rows": 6, "test_rows": 6})

    def verdict(action):
        settings = PoolSettings.model_validate({"sources": ["x", "y"], "reference": "r", "leakage": action})
        made, _ = build("e", settings, wanted, sources)
        parts = [leakage.rows(part, made[part]) for part in ("train", "validation", "test")]
        return leakage.check("e", parts, [], WORDS, 0.8)

    kinds = {action: [finding["kind"] for finding in verdict(action)["findings"]] for action in ("drop", "allow")}
    assert kinds == {"drop": ["near"], "allow": ["exact", "near"]}
    del sources["y"][2]
    assert verdict("drop")["verdict"] == PASSED
    assert np.all([finding["count"] == 1 for finding in verdict("allow")["findings"]])
