"""From a conversation to token ids and a mask of the tokens the model is trained on: the answers, nothing else.

The model's own chat template is the only template. The mask is found by rendering the conversation up to each
answer and comparing characters, not by tokenising prompt and answer apart: that is off by one for tokenizers
that add a beginning-of-sequence token (a defect of the official code, see `docs/method.md`).
"""

from dataclasses import dataclass

import numpy as np
from jinja2.exceptions import TemplateError

from scalebio.errors import UserError

# So many rows at fault are named.
LISTED = 9


@dataclass(frozen=True)
class Example:
    """One encoded conversation: `ids` and `response` of shape [tokens]; `source` is the index of its data source.

    `name` says which row it is, for messages.
    """

    ids: np.ndarray
    response: np.ndarray
    source: int = 0
    truncated: bool = False
    name: str = ""


def answer_spans(messages: list[dict], tokenizer, name: str = "") -> tuple[str, list[tuple[int, int]]]:
    """Render a conversation and return its text with the character span of every answer, end-of-turn mark included.

    Raises UserError, naming `name`, for an answer with nothing before it in a conversation of several messages, and
    if the tokenizer has no chat template, or its template refuses the conversation or rewrites earlier turns.
    """
    row = name or "A row"
    if messages[0]["role"] == "assistant":
        if len(messages) > 1:
            raise UserError(
                f"{row}: its conversation begins with the assistant, so nothing stands before the first answer; only "
                "plain text, one assistant message alone, may do so. Remove that answer, or put what was asked before it."
            )
        # Plain text has no prompt to mask and would not fit a chat template: every token of it is trained on.
        text = messages[0]["content"] + (tokenizer.eos_token or "")
        return text, [(0, len(text))]
    if not tokenizer.chat_template:
        raise UserError(
            f"The tokenizer of {tokenizer.name_or_path} has no chat template, so prompts and answers cannot be told apart. "
            "Use an instruction-tuned model, or save a tokenizer with a chat template beside the model."
        )

    def render(turns: list[dict], prompt_only: bool) -> str:
        try:
            return tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=prompt_only)
        except (ValueError, TemplateError) as error:
            roles = ", ".join(turn["role"] for turn in turns[:6]) + (", …" if len(turns) > 6 else "")
            raise UserError(
                f"{row}: the chat template refuses this conversation: {error} (roles: {roles}). Mend or remove the row "
                f"in the source's file, or take a model whose template allows it; this one is {tokenizer.name_or_path}'s."
            ) from error

    text = render(messages, False)
    spans = []
    for i, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before, after = render(messages[:i], True), render(messages[: i + 1], False)
        if not (text.startswith(before) and text.startswith(after.rstrip())):
            raise UserError(
                f"The chat template of {tokenizer.name_or_path} changes earlier turns when later ones are added, "
                "so the answer's tokens cannot be located. Use a template that only appends."
            )
        spans.append((len(before), len(after.rstrip())))
    return text, spans


class NoRoom(UserError):
    """A prompt of `tokens` tokens, after which no answer token fits into `max_length`; `more` says what else is to be said."""

    def __init__(self, name: str, tokens: int, max_length: int, more: str = ""):
        super().__init__(
            f"{name or 'A row'}: the prompt takes {tokens} tokens and max_length is {max_length}, so no answer token fits"
            f"{more}. Raise the model's `max_length`, or leave long rows out with the source's `max_characters` or "
            "`max_prompt_bytes`."
        )
        self.tokens = tokens


def encode(messages: list[dict], tokenizer, max_length: int, source: int = 0, name: str = "") -> Example:
    """Encode one conversation, cut at `max_length` tokens.

    `response[t]` is true where token t belongs to an answer (its end-of-turn mark included), hence is predicted
    from position t − 1 and counted in the loss. Raises NoRoom, naming `name`, if the prompt leaves no room
    for any answer token, and UserError as `answer_spans`.
    """
    text, spans = answer_spans(messages, tokenizer, name)
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids = np.asarray(encoded["input_ids"], dtype=np.int64)
    starts = np.asarray([start for start, _ in encoded["offset_mapping"]])
    response = np.zeros(len(ids), dtype=bool)
    for start, end in spans:
        response |= (starts >= start) & (starts < end)
    if len(response):
        response[0] = False  # nothing precedes the first token, so it cannot be predicted
    if not response[:max_length].any():
        raise NoRoom(name, int(response.argmax()) if response.any() else len(ids), max_length)
    return Example(ids[:max_length], response[:max_length], source, len(ids) > max_length, name)


def encode_all(records, tokenizer, max_length: int, source_index: dict[str, int] | None = None) -> list[Example]:
    """Encode records in order; `source_index` maps a record's source name to its index (absent: 0).

    Raises UserError as `encode`; of all rows whose prompt is too long it says how many there are, and which.
    """
    examples, too_long = [], []
    for record in records:
        index = source_index[record.source] if source_index else 0
        try:
            examples.append(encode(record.messages, tokenizer, max_length, index, record.name))
        except NoRoom as error:
            too_long.append((record.source, record.row, record.name, error.tokens))
    if too_long:
        # Pools are shuffled.
        (*_, first, tokens), *others = sorted(set(too_long))
        listed = "; ".join(name for *_, name, _ in others[:LISTED]) + ("; …" if len(others) > LISTED else "")
        more = f", nor in {len(others)} other row{'s'[: len(others) > 1]} ({listed})" if others else ""
        raise NoRoom(first, tokens, max_length, more)
    return examples
