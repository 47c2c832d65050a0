"""Which engine answers, and what it is asked; vllm itself needs a GPU, so a stand-in records the calls made to it."""

import sys
import types

import pytest

from scalebio import base_models
from scalebio.config import Scratch
from scalebio.errors import UserError
from scalebio.mtbench import engines

TEMPLATE = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}[assistant] {% endif %}"
TALK = [[{"role": "user", "content": "1 + 2?"}], [{"role": "user", "content": "Hello?"}]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny model in a folder."""
    path = tmp_path_factory.mktemp("model") / "tiny"
    shape = Scratch(hidden_size=32, intermediate_size=64, layers=2, heads=2, vocabulary=300)
    base_models.save(*base_models.from_scratch(shape, ["1 + 2? It is 3"], 256, 0), path)
    return path


class StandIn:
    """Takes the place of the module vllm in these tests; it generates nothing."""

    class SamplingParams(types.SimpleNamespace):
        """Keeps its arguments."""

    class LLM:
        """Keeps its arguments, and answers with the number of tokens it was given."""

        def __init__(self, **arguments):
            self.arguments = arguments

        def generate(self, prompts, parameters, use_tqdm):
            self.asked = list(zip(prompts, parameters, strict=True))
            texts = [f" {len(prompt['prompt_token_ids'])} tokens " for prompt in prompts]
            return [types.SimpleNamespace(outputs=[types.SimpleNamespace(text=text)]) for text in texts]


def test_vllm_gets_our_tokens_seeds_and_temperatures(folder, monkeypatch):
    monkeypatch.setitem(
        sys.modules, "vllm", types.SimpleNamespace(LLM=StandIn.LLM, SamplingParams=StandIn.SamplingParams)
    )
    engine = engines.Vllm(folder, base_models.load_tokenizer(folder), 64)
    texts = engine.generate(TALK, 8, [0.7, 0.0], [11, 12], 64)
    ids = [engine.tokenizer.apply_chat_template(t, add_generation_prompt=True, return_dict=False) for t in TALK]
    assert texts == [f"{len(prompt)} tokens" for prompt in ids]
    assert [prompt["prompt_token_ids"] for prompt, _ in engine.model.asked] == ids
    first, second = (parameters for _, parameters in engine.model.asked)
    assert (first.temperature, first.seed, first.max_tokens) == (0.7, 11, 8)
    assert (second.temperature, second.seed) == (0.0, 12)
    assert (first.top_p, first.top_k) == (1.0, -1)
    assert engine.tokenizer.eos_token_id in first.stop_token_ids
    assert engine.model.arguments["max_model_len"] == 64


@pytest.mark.skipif("vllm" in sys.modules, reason="vllm is installed")
def test_without_vllm_transformers_answers_or_the_study_is_told(folder):
    engine = engines.load(folder, "auto", 64)
    assert engine.name == "transformers"
    assert len(engine.generate(TALK, 4, [0.0, 0.0], [1, 2], 64)) == 2
    with pytest.raises(UserError, match="`vllm`, which is not installed"):
        engines.load(folder, "vllm", 64)


def test_a_template_is_lent_to_a_tokenizer_without_one_only(folder, tmp_path):
    path = tmp_path / "template.jinja"
    path.write_text(TEMPLATE)
    tokenizer = base_models.load_tokenizer(folder)
    own = tokenizer.chat_template
    assert engines.with_template(tokenizer, str(path)).chat_template == own
    tokenizer.chat_template = None
    with pytest.raises(UserError, match="cannot read .*nowhere.jinja"):
        engines.with_template(tokenizer, str(tmp_path / "nowhere.jinja"))
    lent = engines.with_template(tokenizer, str(path))
    text = lent.apply_chat_template(TALK[0], tokenize=False, add_generation_prompt=True)
    assert text == "[user] 1 + 2?\n[assistant] "
