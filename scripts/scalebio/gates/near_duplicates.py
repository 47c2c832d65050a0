"""Texts that say nearly the same: shared runs of words (n-grams), exact, by an inverted index of hashes.

A text of a benchmark is a near duplicate of a training text if most of its n-grams stand there too, whatever else does: a question
inside a longer prompt is as much of a leak as the question alone, and the Jaccard index would miss it. N-grams that stand in
many training texts are boilerplate and count for nothing, as in the contamination study of GPT-3 (Brown et al. 2020, appendix C,
where n is 13 and more than 10 documents are many); that also bounds the index. Hence the limit: a text that stands in slightly
different forms in more than that many training texts is not found. Texts shorter than n words are one n-gram, so for them near
means the same words.
"""

import hashlib
import re
import unicodedata
from functools import cache

import numpy as np
import pandas as pd

COMMON = 10
"""An n-gram in more texts than this is boilerplate (Brown et al. 2020)."""

# Chinese, Japanese and Korean are written without blanks: each character counts as a word. Punctuation is kept, because
# `5 + 3` and `5 - 3` are not the same question.
_WORDS = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|(?:(?![\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])\w)+|[^\w\s]"
)
_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no factor of a hash is lost


def words(text: str) -> list[str]:
    """Words and punctuation marks of a text, NFKC and case folded."""
    return _WORDS.findall(unicodedata.normalize("NFKC", text).casefold())


@cache
def _number(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big")


def ngrams(texts: list[str], length: int) -> pd.DataFrame:
    """The distinct n-grams of each text as columns `text` (its index) and `ngram` (64-bit hash).

    One polynomial hash over all words at once; two n-grams of ten million have the same by a chance of about 3e-6.
    """
    split = [words(text) for text in texts]
    short = [(i, _number(" ".join(found))) for i, found in enumerate(split) if 0 < len(found) < length]
    long = [(i, found) for i, found in enumerate(split) if len(found) >= length]
    numbers = np.fromiter((_number(word) for _, found in long for word in found), dtype=np.uint64)
    owner = np.repeat([i for i, _ in long], [len(found) for _, found in long]).astype(np.int64)
    count = max(len(numbers) - length + 1, 0)
    hashes = np.zeros(count, dtype=np.uint64)
    for offset in range(length):
        hashes = hashes * _BASE + numbers[offset : offset + count]
    inside = owner[:count] == owner[length - 1 :] if count else np.zeros(0, dtype=bool)
    frame = pd.DataFrame(
        {
            "text": np.concatenate([owner[:count][inside], np.array([i for i, _ in short], dtype=np.int64)]),
            "ngram": np.concatenate([hashes[inside], np.array([number for _, number in short], dtype=np.uint64)]),
        }
    )
    return frame.drop_duplicates(ignore_index=True)


class Index:
    """The n-grams of training texts, for looking up others; `texts` should be distinct, or copies make boilerplate."""

    def __init__(self, texts: list[str], length: int, common: int = COMMON):
        self.length = length
        found = ngrams(texts, length)
        spread = found.groupby("ngram")["text"].transform("size")
        self.rare, self.boilerplate = found[spread <= common], found.loc[spread > common, "ngram"].unique()

    def nearest(self, texts: list[str], similarity: float) -> pd.DataFrame:
        """For each text with one at least so similar in the index: columns `text`, `indexed` (the nearest), `similarity`.

        `similarity`: share, 0 to 1, of the text's n-grams that are no boilerplate and also stand in the indexed text. Sorted
        by falling similarity; of equally near texts the first counts.
        """
        asked = ngrams(texts, self.length)
        asked = asked[~asked["ngram"].isin(self.boilerplate)]
        asked = asked.assign(total=asked.groupby("text")["ngram"].transform("size"))
        both = asked.merge(self.rare, on="ngram", suffixes=("", "_indexed"))
        counts = both.groupby(["text", "text_indexed", "total"], as_index=False).size()
        counts["similarity"] = counts["size"] / counts["total"]
        # A share such as .8 of 10 must not fail by rounding.
        near = counts[counts["similarity"] >= similarity - 1e-12]
        near = near.sort_values(["similarity", "text", "text_indexed"], ascending=[False, True, True])
        near = near.drop_duplicates("text").rename(columns={"text_indexed": "indexed"})
        return near[["text", "indexed", "similarity"]].reset_index(drop=True)
