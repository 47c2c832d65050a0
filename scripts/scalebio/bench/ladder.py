"""From the released step towards ours, one idea at a time, so that each idea's share of the saving can be read off.

Every rung has all ideas of the rungs before it and the same losses; all train the same parameters on the same rows. The
last rung is not here: it is the engine itself (`variants`), which adds passes of bounded size and the gradient of a
tied embedding made once.
"""

import torch
import torch.nn.functional as F

from scalebio import example_attention, fusing
from scalebio.batching import pack
from scalebio.bench.released import IGNORED, ReleasedStep, remember_every_layer
from scalebio.chat import Example
from scalebio.losses import ResponseLoss, group_means

RUNGS = {
    "no_dropout": "dropout off",
    "fused_adamw": "AdamW fused",
    "freed_states": "sleeping layers' states freed",
    "packed_rows": "rows packed, no padding",
    "response_logits": "logits at answer tokens only",
    "fused_gelu": "GELU as one operation",
    "example_attention": "attention within each example",
    "chunked_cross_entropy": "cross-entropy in chunks",
}


class LadderStep(ReleasedStep):
    """The released step with every idea up to and including `rung`."""

    def __init__(self, rung: str, row_length: int, *arguments):
        self.ideas, self.row_length = list(RUNGS)[: list(RUNGS).index(rung) + 1], row_length
        super().__init__(*arguments)
        self.losses = {}
        for model in (self.u, self.w):
            model.eval()
            if "response_logits" in self.ideas:
                self.losses[model] = ResponseLoss(model, fused="chunked_cross_entropy" in self.ideas)
            if "fused_gelu" in self.ideas:
                fusing.fuse(model)
            if "example_attention" in self.ideas:
                self.losses[model].by_example = example_attention.prepare(model)

    def make_optimizer(self, model: torch.nn.Module) -> torch.optim.Optimizer:
        """AdamW with the ideas that concern it."""
        if "fused_adamw" not in self.ideas:
            return super().make_optimizer(model)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, weight_decay=5e-4, fused=True)
        if "freed_states" not in self.ideas:
            remember_every_layer(model, optimizer)
        return optimizer

    def update(self, optimizer: torch.optim.Optimizer, *terms) -> list[float]:
        """As released; with `freed_states` the gradients go at once."""
        values = super().update(optimizer, *terms)
        if "freed_states" in self.ideas:
            optimizer.zero_grad()
        return values

    def training_loss(self, model: torch.nn.Module, examples: list[Example]) -> torch.Tensor:
        """L2 at equal weights, as released."""
        if "packed_rows" not in self.ideas:
            return super().training_loss(model, examples)
        sources = torch.tensor([example.source for example in examples])
        sizes = torch.bincount(sources)
        return self._objective(model, examples, 1 / (sizes[sources] * len(sizes)))

    def validation_loss(self, model: torch.nn.Module, examples: list[Example]) -> torch.Tensor:
        """L1, as released: the mean over all answer tokens."""
        if "packed_rows" not in self.ideas:
            return super().validation_loss(model, examples)
        tokens = torch.tensor([int(example.response.sum()) for example in examples])
        return self._objective(model, examples, tokens / tokens.sum())

    def _objective(self, model: torch.nn.Module, examples: list[Example], coefficients: torch.Tensor) -> torch.Tensor:
        """Σ c_i l_i of packed rows; before `response_logits`, logits and cross-entropy at every position."""
        batch = pack(examples, self.row_length)
        if model in self.losses:
            return self.losses[model](batch, coefficients)[0]
        logits = model(input_ids=batch.input_ids, position_ids=batch.position_ids, use_cache=False).logits.flatten(0, 1)
        labels = torch.full((len(logits),), IGNORED)
        labels[batch.predictors] = batch.targets
        tokens = F.cross_entropy(logits, labels, reduction="none", ignore_index=IGNORED)[batch.predictors]
        return coefficients @ group_means(tokens, batch.samples, batch.examples)
