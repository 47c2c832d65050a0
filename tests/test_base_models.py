"""Base models: made, saved and read back to the bit, and only from formats that run no foreign code."""

import copy
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from families import FAMILIES, random_model

import scalebio
from scalebio import base_models
from scalebio.chat import encode
from scalebio.config import Scratch
from scalebio.errors import UserError
from scalebio.origins import Hub

TEXTS = ["Calculate 12 + 7.", "Wie heißt der fünfte Monat? Mai.", "Сколько букв в слове яблоко?"]
SPEC = Scratch(hidden_size=32, intermediate_size=48, layers=2, heads=4, vocabulary=330)
MESSAGES = [{"role": "user", "content": "Calculate 1 + 2."}, {"role": "assistant", "content": "3"}]


@pytest.fixture(scope="module")
def made():
    return base_models.from_scratch(SPEC, TEXTS * 10, max_length=96, seed=0)


def test_the_tokenizer_gives_every_text_back(made):
    for text in [*TEXTS, "unseen: 漢字 🙂 \t\n  two  blanks", ""]:
        assert made[1].decode(made[1](text, add_special_tokens=False)["input_ids"]) == text


def test_digits_stay_apart(made):
    tokens = made[1].tokenize("2024 and 1212")
    assert [token for token in tokens if any(character.isdigit() for character in token)] == list("20241212")


def test_special_tokens_are_single(made):
    tokenizer = made[1]
    assert tokenizer.pad_token_id == 0 and tokenizer.eos_token == base_models.END
    for token in (base_models.PAD, base_models.END, base_models.USER, base_models.ASSISTANT, base_models.SYSTEM):
        assert len(tokenizer(token, add_special_tokens=False)["input_ids"]) == 1


def test_the_chat_template(made):
    render = made[1].apply_chat_template
    assert render(MESSAGES, tokenize=False) == "<user>Calculate 1 + 2.<end><assistant>3<end>"
    assert render(MESSAGES[:1], tokenize=False, add_generation_prompt=True) == "<user>Calculate 1 + 2.<end><assistant>"


def test_the_model_is_what_was_asked_for(made):
    config = made[0].config
    assert (config.hidden_size, config.intermediate_size, config.num_hidden_layers) == (32, 48, 2)
    assert (config.num_attention_heads, config.max_position_embeddings) == (4, 96)
    assert config.vocab_size == len(made[1]) <= 330
    assert config.eos_token_id == made[1].eos_token_id and config.pad_token_id == 0
    assert {parameter.dtype for parameter in made[0].parameters()} == {torch.float32}


def test_weights_depend_on_the_seed_alone(made):
    torch.rand(3)  # whatever was drawn before
    again, other = (base_models.from_scratch(SPEC, TEXTS * 10, 96, seed)[0] for seed in (0, 1))
    same = [torch.equal(a, b) for a, b in zip(made[0].parameters(), again.parameters(), strict=True)]
    assert all(same)
    assert not torch.equal(made[0].get_input_embeddings().weight, other.get_input_embeddings().weight)


def test_saved_and_loaded_is_the_same_to_the_bit(made, tmp_path):
    base_models.save(*made, tmp_path / "a")
    assert not list((tmp_path / "a").glob("*.bin"))
    model, tokenizer = base_models.load(tmp_path / "a")
    expected = made[0].state_dict()
    assert model.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())
    assert tokenizer.chat_template == made[1].chat_template
    assert tokenizer(TEXTS)["input_ids"] == made[1](TEXTS)["input_ids"]
    base_models.save(model, tokenizer, tmp_path / "b")
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


@pytest.mark.parametrize("family", FAMILIES)
def test_an_empty_model_lacks_nothing_but_its_parameters(family, made, tmp_path):
    base_models.save(random_model(*FAMILIES[family]), made[1], tmp_path / "model")
    model, empty = base_models.load(tmp_path / "model")[0], base_models.load_empty(tmp_path / "model")[0]
    assert all(torch.equal(a, b) for a, b in zip(model.buffers(), empty.buffers(), strict=True))
    base_models.fill(empty, {name: parameter.detach() for name, parameter in model.named_parameters()})
    ids = torch.arange(1, 9)[None]
    assert torch.equal(model(ids).logits, empty(ids).logits)


# A process of its own: memory that tests before this one gave back would be used again.
GROWTH = """
import sys
import psutil
sys.path.insert(0, sys.argv[1])
from scalebio import base_models
base_models.load_empty(sys.argv[2])  # imports what it needs
before = psutil.Process().memory_info().rss
model, _ = getattr(base_models, sys.argv[3])(sys.argv[2])
sum(float(parameter.sum()) for parameter in model.parameters())  # a file's pages are read when they are needed
print((psutil.Process().memory_info().rss - before) / sum(4 * parameter.numel() for parameter in model.parameters()))
"""


def test_an_empty_model_takes_no_memory(made, tmp_path):
    large = SPEC.model_copy(update={"hidden_size": 1024, "intermediate_size": 2048})
    base_models.save(*base_models.from_scratch(large, TEXTS * 10, max_length=96, seed=0), tmp_path / "model")
    scripts = str(Path(scalebio.__file__).parent.parent)

    def growth(how: str) -> float:
        words = [sys.executable, "-c", GROWTH, scripts, str(tmp_path / "model"), how]
        return float(subprocess.run(words, capture_output=True, text=True, check=True).stdout)

    assert growth("load_empty") < 0.1 and growth("load") > 0.8


def test_half_precision_weights_are_loaded_as_float32(made, tmp_path):
    half = base_models.from_scratch(SPEC, TEXTS, 96, 0)[0].to(torch.bfloat16)
    base_models.save(half, made[1], tmp_path)
    loaded = base_models.load(tmp_path)[0]
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    assert torch.equal(loaded.get_input_embeddings().weight, half.get_input_embeddings().weight.float())


def test_pickled_weights_are_refused(made, tmp_path):
    """Unpickling runs code; only safetensors are read."""
    base_models.save(*made, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(made[0].state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match="Expected a Hugging Face model with safetensors weights"):
        base_models.load(tmp_path)


def test_a_model_with_code_of_its_own_is_refused(made, tmp_path):
    base_models.save(*made, tmp_path)
    (tmp_path / "config.json").write_text(
        '{"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config", "AutoModelForCausalLM": "mine.Model"}}'
    )
    (tmp_path / "mine.py").write_text("raise SystemExit('foreign code was run')")
    with pytest.raises(UserError, match="could not be loaded"):
        base_models.load(tmp_path)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(UserError, match="could not be loaded"):
        base_models.load(tmp_path)


def test_the_device_is_one_that_is_there():
    assert base_models.device().type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_a_gated_model_that_cannot_be_loaded_says_so(tmp_path):
    hub = {"id": str(tmp_path), "revision": "unverified", "gated": True}
    with pytest.raises(UserError, match=r"could not be loaded(.|\n)*is gated, and .*HF_TOKEN"):
        base_models.from_hub(Hub.model_validate(hub))


def test_the_template_for_base_models_covers_answers_whatever_the_tokenizer_marks(made, root):
    tokenizer = copy.deepcopy(made[1])
    base_models.set_template(tokenizer, root / "config/templates/human_assistant.jinja", "chat_template")
    turns = [("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello."), ("user", "Why?"), ("assistant", "So.")]
    turns = [{"role": role, "content": text} for role, text in turns]
    for mark in (None, "<pad>"):
        tokenizer.bos_token = mark
        example = encode(turns, tokenizer, 256)
        assert tokenizer.decode(example.ids[example.response]) == "Hello.<end>So.<end>"
        asked = tokenizer.decode(encode(turns[:3], tokenizer, 256).ids)
        expected = "###System:\nBe brief.\n\n###Human:\nHi\n\n###Assistant:\nHello.<end>\n"
        assert asked == (mark or "") + expected
    with pytest.raises(UserError, match="models.base.chat_template: cannot read nowhere.jinja"):
        base_models.set_template(tokenizer, "nowhere.jinja", "models.base.chat_template")


@pytest.mark.slow
def test_a_fetched_model_keeps_the_template_it_was_given(made, root, tmp_path):
    base_models.save(*made, tmp_path / "model")
    template = str(root / "config/templates/human_assistant.jinja")
    settings = {"name": "m", "offline": False}
    settings["model"] = {"path": str(tmp_path / "model"), "max_length": 64, "chat_template": template}
    command = [sys.executable, root / "scripts/fetch_model.py", "--settings", json.dumps(settings)]
    done = subprocess.run(
        [*command, "--output", tmp_path / "out/provenance.json"], capture_output=True, text=True, cwd=root
    )
    assert done.returncode == 0, done.stderr
    text = Path(template).read_text()
    assert base_models.load_tokenizer(tmp_path / "out").chat_template == text
    provenance = json.loads((tmp_path / "out/provenance.json").read_text())["provenance"]
    assert provenance["chat_template_sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert provenance["inputs"]["chat_template"]["path"] == template
