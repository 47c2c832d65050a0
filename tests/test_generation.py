"""Batched answers of a tiny random Llama: the same as one by one, in order, from their own seeds."""

import time

import pytest
import torch

from scalebio import base_models
from scalebio.config import Scratch
from scalebio.errors import UserError
from scalebio.generation import encode, generate
from scalebio.streams import stream


@pytest.fixture(scope="module")
def tiny():
    words = ["how many apples are on the table", "sort these words", "what is 12 plus 7", "say nothing"]
    shape = Scratch(hidden_size=32, intermediate_size=64, layers=2, heads=2, vocabulary=300)
    model, tokenizer = base_models.from_scratch(shape, words, max_length=256, seed=0)
    with torch.no_grad():
        # Layers that listen to the prompt and a head of its own with spread logits, so that answers differ and near
        # ties do not decide them. The special tokens (0 to 4) other than the end (1) stay out.
        for weight in model.model.layers.parameters():
            weight.mul_(12 if weight.dim() == 2 else 1)
        head = torch.randn(300, 32, generator=torch.Generator().manual_seed(0))
        head[[0, 2, 3, 4]] = 0
        model.config.tie_word_embeddings = False
        model.lm_head.weight = torch.nn.Parameter(head)
    return model, tokenizer


def chats(count):
    lengths = stream(0, "test lengths").integers(1, 40, size=count)
    return [[{"role": "user", "content": f"what is {i} " + "x y " * int(n)}] for i, n in enumerate(lengths)]


def run(tiny, conversations, **settings):
    defaults = {"max_new_tokens": 12, "batch_size": 64, "max_length": 256}
    return generate(*tiny, conversations, **{**defaults, **settings})


def test_batched_greedy_equals_one_by_one_in_order(tiny):
    conversations = chats(13)
    alone = [run(tiny, [conversation], batch_size=1)[0] for conversation in conversations]
    assert len(set(alone)) > 6 and all(alone)
    assert run(tiny, conversations) == alone
    assert run(tiny, conversations, batch_size=4) == alone


def test_greedy_is_the_arg_max_of_the_plain_model(tiny):
    model, tokenizer = tiny
    conversation = chats(3)[1]
    ids = encode(tokenizer, [conversation], 200)[0][0]
    start = len(ids)
    with torch.inference_mode():
        while len(ids) < start + 12:
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
            if ids[-1] == tokenizer.eos_token_id:
                break
    assert run(tiny, [conversation])[0] == tokenizer.decode(ids[start:], skip_special_tokens=True).strip()


def test_sampling_depends_on_the_own_seed_only(tiny):
    conversations = chats(6)
    hot = run(tiny, conversations, temperatures=[1.0] * 6, seeds=list(range(6)))
    assert len(set(hot)) > 4
    assert hot == run(tiny, conversations, temperatures=[1.0] * 6, seeds=list(range(6)))
    assert hot != run(tiny, conversations, temperatures=[1.0] * 6, seeds=list(range(6, 12)))
    alone = [run(tiny, [c], batch_size=1, temperatures=[1.0], seeds=[i])[0] for i, c in enumerate(conversations)]
    assert hot == alone
    mixed = run(tiny, conversations, temperatures=[0, 1, 0, 1, 0, 1], seeds=list(range(6)))
    greedy = run(tiny, conversations)
    assert mixed == [greedy[0], hot[1], greedy[2], hot[3], greedy[4], hot[5]]


def test_sampling_follows_the_softmax(tiny):
    model, tokenizer = tiny
    conversation, temperature, draws = chats(1)[0], 2.0, 600
    ids = encode(tokenizer, [conversation], 200)[0][0]
    with torch.inference_mode():
        expected = torch.softmax(model(torch.tensor([ids])).logits[0, -1] / temperature, dim=-1)
    texts = run(
        tiny,
        [conversation] * draws,
        max_new_tokens=1,
        batch_size=200,
        temperatures=[temperature] * draws,
        seeds=list(range(draws)),
    )
    # Different tokens can decode to the same text (partial bytes, specials), so compare the likeliest clear texts.
    by_text: dict[str, float] = {}
    for token, probability in enumerate(expected.tolist()):
        text = tokenizer.decode([token], skip_special_tokens=True).strip()
        by_text[text] = by_text.get(text, 0) + probability
    for text, probability in sorted(by_text.items(), key=lambda item: -item[1])[:5]:
        deviation = (probability * (1 - probability) / draws) ** 0.5
        assert abs(texts.count(text) / draws - probability) < 4 * deviation


def test_long_prompts_lose_their_middle_and_say_so(tiny, capsys):
    _, tokenizer = tiny
    conversations = [chats(1)[0], [{"role": "user", "content": "first " + "word " * 300 + "last"}]]
    prompts, shortened = encode(tokenizer, conversations, 50)
    whole = encode(tokenizer, conversations, 10_000)[0]
    assert shortened == [len(whole[0]) > 50, True]
    assert prompts[1] == whole[1][:25] + whole[1][-25:]
    run(tiny, conversations)
    assert "1 of 2 prompts were longer than 244 tokens; their middle was cut out" in capsys.readouterr().err


def test_answers_end_at_the_end_token_and_hold_no_special_tokens(tiny):
    model, tokenizer = tiny
    texts = run(tiny, chats(40), temperatures=[5.0] * 40, seeds=list(range(40)), max_new_tokens=60)
    lengths = [len(tokenizer(text)["input_ids"]) for text in texts]
    assert min(lengths) < 40 and not any("<end>" in text or "<pad>" in text for text in texts)


def test_training_mode_and_gradients_are_left_as_they_were(tiny):
    model, _ = tiny
    for mode in (True, False):
        model.train(mode)
        run(tiny, chats(2))
        assert model.training is mode
    assert all(parameter.requires_grad for parameter in model.parameters())
    model(torch.tensor([[1, 2, 3]]), labels=torch.tensor([[1, 2, 3]])).loss.backward()


def test_bad_input_is_one_clear_message(tiny):
    model, tokenizer = tiny
    with pytest.raises(UserError, match="max_new_tokens 256 leaves no room"):
        run(tiny, chats(1), max_new_tokens=256)
    bare = base_models.train_tokenizer(["some words"], 300)
    bare.chat_template = None
    with pytest.raises(UserError, match="no chat template"):
        run((model, bare), chats(1))
    with pytest.raises(ValueError, match="seeds"):
        run(tiny, chats(1), temperatures=[0.7])
    assert run(tiny, []) == []


def test_hundreds_of_short_questions_take_seconds(tiny):
    start = time.process_time()
    run(tiny, chats(300), max_new_tokens=8)
    assert time.process_time() - start < 10
