"""What generates answers: vllm where it is installed and there is a GPU, transformers everywhere else.

Both take token ids that we made from the tokenizer's own chat template, shortened by one rule, and both seed every
conversation on its own, so that an answer does not depend on what else is asked. The two do not give the same text.
"""

import importlib.util
from pathlib import Path
from typing import Protocol

import torch
from transformers import GenerationConfig

from scalebio import base_models
from scalebio.errors import UserError
from scalebio.generation import GREEDY_BELOW, encode, generate, stop_tokens


class Engine(Protocol):
    """Answers conversations; `name` stands for everything about it that decides the text."""

    name: str
    tokenizer: object

    def generate(
        self,
        conversations: list[list[dict]],
        max_new_tokens: int,
        temperatures: list[float],
        seeds: list[int],
        max_length: int,
    ) -> list[str]:
        """One answer per conversation, in their order."""


class Transformers:
    """Left-padded batches of `generate`; all conversations of a call are one batch."""

    name = "transformers"

    def __init__(self, model, tokenizer):
        self.model, self.tokenizer = model, tokenizer

    def generate(self, conversations, max_new_tokens, temperatures, seeds, max_length):
        """See Engine."""
        return generate(
            self.model,
            self.tokenizer,
            conversations,
            max_new_tokens=max_new_tokens,
            batch_size=len(conversations),
            temperatures=temperatures,
            seeds=seeds,
            max_length=max_length,
        )


class Vllm:
    """vllm's own batching. Not run by us on real vllm, which needs a GPU: tested against its documented interface."""

    name = "vllm"

    def __init__(self, folder: Path, tokenizer, max_length: int):
        import vllm

        self.parameters, self.tokenizer = vllm.SamplingParams, tokenizer
        self.model = vllm.LLM(model=str(folder), tokenizer=str(folder), max_model_len=max_length, seed=0)
        self.stops = stop_tokens(GenerationConfig.from_pretrained(folder), tokenizer)

    def generate(self, conversations, max_new_tokens, temperatures, seeds, max_length):
        """See Engine."""
        prompts, _ = encode(self.tokenizer, conversations, max_length - max_new_tokens)
        outputs = self.model.generate(
            [{"prompt_token_ids": prompt} for prompt in prompts],
            [
                # No cut by top-p or top-k, as with transformers here, whatever the model's own defaults are.
                self.parameters(
                    temperature=temperature if temperature >= GREEDY_BELOW else 0.0,
                    top_p=1.0,
                    top_k=-1,
                    seed=seed,
                    max_tokens=max_new_tokens,
                    stop_token_ids=self.stops,
                    skip_special_tokens=True,
                )
                for temperature, seed in zip(temperatures, seeds, strict=True)
            ],
            use_tqdm=False,
        )
        return [output.outputs[0].text.strip() for output in outputs]


def load(
    folder: Path, kind: str, max_length: int, chat_template: str | None = None, section: str = "evaluations.mtbench"
) -> Engine:
    """The engine of `kind` (auto, transformers or vllm) with the model in `folder`.

    `chat_template` is a Jinja file, used where the tokenizer has none. Raises UserError where vllm is asked for and not
    installed, or the file cannot be read; it names the key in `section` of the study file.
    """
    installed = importlib.util.find_spec("vllm") is not None
    if kind == "vllm" and not installed:
        raise UserError(f"{section}.engine is `vllm`, which is not installed. Install it, or set `auto`.")
    if kind == "vllm" or (kind == "auto" and installed and torch.cuda.is_available()):
        tokenizer = with_template(base_models.load_tokenizer(folder), chat_template, section)
        return Vllm(folder, tokenizer, max_length)
    model, tokenizer = base_models.load(folder)
    return Transformers(model.to(base_models.device()), with_template(tokenizer, chat_template, section))


def with_template(tokenizer, path: str | None, section: str = "evaluations.mtbench"):
    """`tokenizer`, with the chat template in the file `path` if it has none of its own. Raises UserError if unreadable."""
    if path and not tokenizer.chat_template:
        base_models.set_template(tokenizer, path, f"{section}.chat_template")
    return tokenizer
