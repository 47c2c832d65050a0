"""The response mask covers the answers and their end mark, whatever the template does around them."""

import numpy as np
import pytest

from scalebio.chat import encode, encode_all
from scalebio.errors import UserError
from scalebio.records import Record

QUESTION = {"role": "user", "content": "Calculate 1 + 2."}
ANSWER = {"role": "assistant", "content": "It is 3"}


def test_mask_covers_the_answer_and_its_end_mark(tiny):
    tokenizer = tiny[1]
    example = encode([QUESTION, ANSWER], tokenizer, 64)
    assert tokenizer.decode(example.ids[example.response]) == "It is 3<end>"
    assert tokenizer.decode(example.ids[~example.response]) == "<user>Calculate 1 + 2.<end><assistant>"


def test_every_answer_of_a_conversation_counts(tiny):
    tokenizer = tiny[1]
    second = {"role": "assistant", "content": "five"}
    example = encode([QUESTION, ANSWER, QUESTION, second], tokenizer, 128)
    assert tokenizer.decode(example.ids[example.response]) == "It is 3<end>five<end>"


def test_a_template_with_beginning_mark_is_not_off_by_one(tiny):
    """ChatML-like template with a mark before everything and a newline after each turn, as SmolLM2 and Qwen have."""
    import copy

    tokenizer = copy.deepcopy(tiny[1])
    tokenizer.chat_template = (
        "<system>Be brief.<end>\n{% for m in messages %}<{{ m['role'] }}>\n{{ m['content'] }}<end>\n{% endfor %}"
        "{% if add_generation_prompt %}<assistant>\n{% endif %}"
    )
    example = encode([QUESTION, ANSWER], tokenizer, 128)
    assert tokenizer.decode(example.ids[example.response]) == "It is 3<end>"


def test_mask_agrees_with_the_tokens_generation_would_produce(tiny):
    tokenizer = tiny[1]
    prompt = tokenizer.apply_chat_template([QUESTION], add_generation_prompt=True, tokenize=True, return_dict=True)
    example = encode([QUESTION, ANSWER], tokenizer, 64)
    assert example.ids[~example.response].tolist() == prompt["input_ids"]


def test_plain_text_is_trained_on_from_its_second_token(tiny):
    example = encode([{"role": "assistant", "content": "How many letters"}], tiny[1], 64)
    assert not example.response[0] and example.response[1:].all()


def test_long_answers_are_cut_and_counted(tiny):
    example = encode([QUESTION, {"role": "assistant", "content": "1 " * 200}], tiny[1], 40)
    assert len(example.ids) == 40 and example.truncated and example.response[-1]


def test_a_prompt_longer_than_the_context_is_refused(tiny):
    long = {"role": "user", "content": "Calculate 1 + 2. " * 50}
    with pytest.raises(
        UserError, match=r"source sums, row 7.*prompt takes \d+ tokens.*max_length is 40.*max_characters"
    ):
        encode([long, ANSWER], tiny[1], 40, name="source sums, row 7")


def test_of_many_prompts_too_long_all_are_counted_and_some_named(tiny):
    long = {"role": "user", "content": "Calculate 1 + 2. " * 50}
    rows = [Record([long if number % 2 else QUESTION, ANSWER], "sums", number) for number in range(40)]
    with pytest.raises(UserError) as raised:
        encode_all(rows[::-1], tiny[1], 40)
    message = str(raised.value)
    assert message.startswith("source `sums`, row 2: the prompt takes"), "the first in the file, counted from 1"
    assert "nor in 19 other rows (source `sums`, row 4; source `sums`, row 6;" in message and "row 20; …)" in message


def test_a_tokenizer_without_chat_template_is_refused(tiny):
    import copy

    tokenizer = copy.deepcopy(tiny[1])
    tokenizer.chat_template = None
    with pytest.raises(UserError, match="no chat template"):
        encode([QUESTION, ANSWER], tokenizer, 64)


def test_an_answer_to_nothing_is_refused(tiny):
    for messages in ([ANSWER, QUESTION, ANSWER], [ANSWER, ANSWER]):
        with pytest.raises(UserError, match="source x, row 3: its conversation begins with the assistant"):
            encode(messages, tiny[1], 64, name="source x, row 3")


def test_a_template_that_refuses_a_conversation_names_the_row(tiny):
    import copy

    tokenizer = copy.deepcopy(tiny[1])
    tokenizer.chat_template = "{{ raise_exception('no system role') }}"
    with pytest.raises(UserError, match="source x, row 3: the chat template refuses this conversation: no system role"):
        encode([QUESTION, ANSWER], tokenizer, 64, name="source x, row 3")


def test_source_index_is_kept(tiny):
    assert encode([QUESTION, ANSWER], tiny[1], 64, source=3).source == 3
    assert encode([QUESTION, ANSWER], tiny[1], 64).ids.dtype == np.int64
