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


class TinyLanguage:
    """The losses of a tiny GPT-2, warmed up on all sources alike, as functions of one flat float64 vector."""

    def __init__(self, seed: int, width: int = 8, layers: int = 1, warm_up: int = 100):
        prompts = [(a, b) for a in range(DIGITS) for b in range(DIGITS)]
        self.rows = len(prompts)
        self.by_source = [[_example(*prompt, rule, source) for prompt in prompts] for source, rule in enumerate(RULES)]
        self.validation = [_example(*prompt, RULES[wanted], 0) for prompt in prompts for wanted in WANTED]
        self._network = _model(seed, width, layers)
        self._loss = ResponseLoss(self._network, fused=False)  # differentiated twice
        self._batch = pack([*(e for examples in self.by_source for e in examples), *self.validation], ROW_LENGTH)
        self._shapes = {name: parameter.shape for name, parameter in self._loss.named_parameters()}
        self.sources = len(RULES)
        self._warm_up(warm_up)
        self.base = self._vector()

    def model(self) -> GPT2LMHeadModel:
        """The network at the base; the same object each time it is asked for, so copy it before training."""
        return self._network

    def objective(self, w: torch.Tensor, weights: torch.Tensor, validation: float) -> torch.Tensor:
        """Σ weights_i l_i(w) + validation · L1(w), differentiable in w and weights."""
        held_out = len(self.validation)
        share = (weights / self.rows).repeat_interleave(self.rows)
        coefficients = torch.cat([share, torch.full((held_out,), validation / held_out, dtype=share.dtype)])
        return self._evaluate(w, coefficients)[0]

    def losses(self, w: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """l_i(w), shape [sources], and L1(w), without gradients."""
        with torch.no_grad():
            losses = self._evaluate(w, torch.zeros(self._batch.examples, dtype=w.dtype))[1]
        trained = self.sources * self.rows
        return losses[:trained].reshape(self.sources, self.rows).mean(1), losses[trained:].mean()

    def _evaluate(self, w: torch.Tensor, coefficients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        parts = torch.split(w, [shape.numel() for shape in self._shapes.values()])
        named = {name: part.view(shape) for (name, shape), part in zip(self._shapes.items(), parts, strict=True)}
        return torch.func.functional_call(self._loss, named, (self._batch, coefficients))

    def _vector(self) -> torch.Tensor:
        return torch.cat([parameter.detach().flatten() for parameter in self._loss.parameters()])

    def _warm_up(self, steps: int) -> None:
        """Adam on all sources with equal weight, as a study warms up a model from scratch."""
        optimizer = torch.optim.Adam(self._loss.parameters(), lr=1e-2)
        share = torch.full((self._batch.examples,), 1 / (self.sources * self.rows), dtype=torch.float64)
        share[self.sources * self.rows :] = 0
        for _ in range(steps):
            optimizer.zero_grad()
            self._loss(self._batch, share)[0].backward()
            optimizer.step()


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
        # The fused kernels have no second derivative.
        attn_implementation="eager",
    )
    return GPT2LMHeadModel(config).double().eval()
