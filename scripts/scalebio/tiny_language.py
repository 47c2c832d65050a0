"""A bilevel problem with a real language model, small enough for exact hypergradients: a GPT-2 of a few thousand parameters.

Three sources answer the same prompts by different rules and so contradict each other; validation mixes two of the rules.
Losses are the workflow's own (ResponseLoss on packed batches). GPT-2, because transformers computes the norm of a Llama
in float32 whatever the model's type.
"""

from collections.abc import Callable

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from scalebio.batching import Packed, pack
from scalebio.chat import Example
from scalebio.flat_losses import FlatLosses, ready
from scalebio.losses import ResponseLoss
from scalebio.streams import torch_seed

DIGITS = 4
BEGIN, ASK, END = DIGITS, DIGITS + 1, DIGITS + 2
ROW_LENGTH = 42
# What each source answers to the digits a and b; validation is two parts of the first and one of the second.
RULES: tuple[Callable[[int, int], tuple[int, int]], ...] = (
    lambda a, b: ((a + b) % DIGITS, a),
    lambda a, b: ((a - b) % DIGITS, b),
    lambda a, b: (b, b),
)
WANTED = (0, 0, 1)


class TinyLanguage(FlatLosses):
    """The losses of a tiny GPT-2, warmed up on all sources alike, as functions of one flat float64 vector."""

    def __init__(self, seed: int, width: int = 8, layers: int = 1, warm_up: int = 100):
        prompts = [(a, b) for a in range(DIGITS) for b in range(DIGITS)]
        self.by_source = [[_example(*prompt, rule, source) for prompt in prompts] for source, rule in enumerate(RULES)]
        self.validation = [_example(*prompt, RULES[wanted], 0) for prompt in prompts for wanted in WANTED]
        self._network = _model(seed, width, layers)
        loss = ready(self._network)
        _warm_up(loss, [example for examples in self.by_source for example in examples], warm_up)
        super().__init__(loss, self.by_source, self.validation, ROW_LENGTH)

    def model(self) -> GPT2LMHeadModel:
        """The network at the base; the same object each time it is asked for, so copy it before training."""
        return self._network


class Ridged(ResponseLoss):
    """ResponseLoss with the ridge ½ ρ ‖w − base‖² as a part of L2, the base being the model as it is given.

    The ridge counts as much as the first `trained` examples together: fully for u, α / (1 + α) for w.
    """

    def __init__(self, model: torch.nn.Module, ridge: float, trained: int):
        super().__init__(model)
        self.ridge, self.trained = ridge, trained
        self.base = [parameter.detach().clone() for parameter in model.parameters()]

    def forward(self, batch: Packed, coefficients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """As in ResponseLoss; the losses of the examples are without the ridge."""
        objective, losses = super().forward(batch, coefficients)
        moved = sum((now - base).square().sum() for now, base in zip(self.model.parameters(), self.base, strict=True))
        return objective + 0.5 * self.ridge * coefficients[: self.trained].sum() * moved, losses


def _example(a: int, b: int, rule: Callable[[int, int], tuple[int, int]], source: int) -> Example:
    ids = np.array([BEGIN, a, b, ASK, *rule(a, b), END])
    return Example(ids=ids, response=np.arange(len(ids)) >= 4, source=source)


def _warm_up(loss: ResponseLoss, examples: list[Example], steps: int) -> None:
    """Adam on all sources with equal weight, as a study warms up a model from scratch."""
    optimizer, batch = torch.optim.Adam(loss.parameters(), lr=1e-2), pack(examples, ROW_LENGTH)
    share = torch.full((batch.examples,), 1 / batch.examples, dtype=torch.float64)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(batch, share)[0].backward()
        optimizer.step()


def _model(seed: int, width: int, layers: int) -> GPT2LMHeadModel:
    torch.manual_seed(torch_seed(seed, "tiny language"))
    config = GPT2Config(
        vocab_size=DIGITS + 3,
        n_embd=width,
        n_layer=layers,
        n_head=2,
        n_positions=ROW_LENGTH,
        initializer_range=0.2,
        bos_token_id=BEGIN,
        eos_token_id=END,
    )
    return GPT2LMHeadModel(config).double().eval()
