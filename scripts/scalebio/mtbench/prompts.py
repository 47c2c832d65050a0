"""The judge's prompts, byte for byte as FastChat builds them for single-answer grading.

Four of the eight prompts in `judge_prompts.jsonl` grade one answer: with and without a reference, for turn 1 and 2.
FastChat gives a reference in math, reasoning and coding; those are the categories it has references for, so here a
question gets the reference prompt exactly if it has a `reference`.
"""

import hashlib
import math
from pathlib import Path
from string import Formatter
from typing import NamedTuple

from scalebio.errors import UserError
from scalebio.files import read_jsonl

SLOTS = {
    "single-v1": {"question", "answer"},
    "single-math-v1": {"question", "ref_answer_1", "answer"},
    "single-v1-multi-turn": {"question_1", "answer_1", "question_2", "answer_2"},
    "single-math-v1-multi-turn": {"question_1", "answer_1", "question_2", "answer_2", "ref_answer_1", "ref_answer_2"},
}


# The judge's own tokenizer is not at hand. By SmolLM2's, whose vocabulary is half as large as those of hosted judges, the
# prompts with MT-Bench's references as answers have 4.4 bytes a token on average and 2.4 at least (digits); scripts other
# than Latin have more bytes a character and about as few a token.
BYTES_PER_TOKEN = 2.5
CUT = "\n\n[... {} characters of this answer were left out here: it is too long for the judge ...]\n\n"


def estimated_tokens(text: str) -> int:
    """Tokens of a text by the judge's tokenizer, as far as its bytes tell."""
    return math.ceil(len(text.encode()) / BYTES_PER_TOKEN)


class Prompt(NamedTuple):
    """What one judge call sends, the name of the template behind it, and characters of answers left out."""

    name: str
    system: str
    user: str
    cut: int = 0

    @property
    def tokens(self) -> int:
        """Tokens, estimated, with those around the two messages."""
        return estimated_tokens(self.system + self.user) + 16


def read(path: str | Path) -> tuple[dict[str, dict], str]:
    """The grading templates by name, and the file's sha256. Raises UserError if one is missing or has other slots."""
    templates = {row.get("name"): row for row in read_jsonl(path)}
    for name, slots in SLOTS.items():
        if name not in templates:
            raise UserError(f"{path} has no prompt {name!r}. Name FastChat's own judge_prompts.jsonl.")
        found = {slot for _, slot, _, _ in Formatter().parse(templates[name]["prompt_template"]) if slot is not None}
        if found != slots or templates[name]["output_format"] != "[[rating]]":
            raise UserError(f"{path}: prompt {name!r} has the slots {sorted(found)}, expected {sorted(slots)}.")
    return {name: templates[name] for name in SLOTS}, hashlib.sha256(Path(path).read_bytes()).hexdigest()


def fit(templates: dict[str, dict], question: dict, answers: list[str], turn: int, tokens: int) -> Prompt:
    """`build`, with the middle of the answers left out and marked where the prompt would exceed `tokens` (estimated).

    FastChat lets such a judgment fail and leaves it out of the mean. Both answers of a turn-2 prompt are bounded by
    one length, so that a short one stays whole. Raises UserError if even answers of 200 characters do not fit.
    """
    prompt = build(templates, question, answers, turn)
    limit = max(map(len, answers))
    while prompt.tokens > tokens:
        if limit <= 200:
            raise UserError(
                f"Question {question['question_id']}, turn {turn}: the judge's prompt needs some {prompt.tokens} tokens "
                f"without its answers, and {tokens} are left. Raise `judge.context` or lower `judge.max_tokens`."
            )
        limit = max(200, int(limit * 0.9))
        shown = [_without_middle(answer, limit) for answer in answers]
        left_out = sum(len(answer) - limit for answer in answers[:turn] if len(answer) > limit)
        prompt = build(templates, question, shown, turn)._replace(cut=left_out)
    return prompt


def _without_middle(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    head = limit // 2
    return text[:head] + CUT.format(len(text) - limit) + text[len(text) - (limit - head) :]


def build(templates: dict[str, dict], question: dict, answers: list[str], turn: int) -> Prompt:
    """The prompt that has `turn` (1 or 2) of the two `answers` to `question` graded."""
    reference = question.get("reference")
    name = f"single-{'math-v1' if reference else 'v1'}{'-multi-turn' if turn == 2 else ''}"
    values = {
        "question": question["turns"][0],
        "answer": answers[0],
        "question_1": question["turns"][0],
        "question_2": question["turns"][1],
        "answer_1": answers[0],
        "answer_2": answers[1],
    }
    if reference:
        values |= {"ref_answer_1": reference[0], "ref_answer_2": reference[1]}
    template = templates[name]
    return Prompt(name, template["system_prompt"], template["prompt_template"].format(**values))
