"""The released code's outer step, written plainly: what ours is measured against.

Written from the ACL release (research4pan/scalebio), whose own code needs several GPUs: per outer step three separate
forward and backward passes over padded batches with logits and cross-entropy at every position (u on the training
batch; w on the same training batch; w on the validation batch), dropout on, AdamW one parameter at a time, LISA with
two layers, embeddings and final norm always training, gradients of a model dropped at the beginning of its next step,
optimiser state kept for ever. Losses as in that release: the mean over the answer tokens of an
example, averaged per source; L1 is the mean over all answer tokens of the validation batch. Not there: accelerate,
evaluation, logging, and the update of λ, a few scalars.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from scalebio import lisa
from scalebio.bench.shapes import Batch
from scalebio.chat import Example
from scalebio.losses import group_means
from scalebio.streams import torch_seed

ALPHA = 10.0
IGNORED = -100


def pad(examples: list[Example]) -> dict[str, torch.Tensor]:
    """Rows padded to the longest, rounded up to a multiple of 8 as in the releases; `labels` are IGNORED off answers."""
    length = -(-max(len(example.ids) for example in examples) // 8) * 8
    ids = np.zeros((len(examples), length), dtype=np.int64)
    labels = np.full((len(examples), length), IGNORED, dtype=np.int64)
    mask = np.zeros((len(examples), length), dtype=np.int64)
    for row, example in enumerate(examples):
        size = len(example.ids)
        ids[row, :size], mask[row, :size] = example.ids, 1
        labels[row, :size][example.response] = example.ids[example.response]
    arrays = {"input_ids": ids, "attention_mask": mask, "labels": labels}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def token_losses(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy at every position, 0 off answers, shape [rows, length − 1], and how many answer tokens each row has."""
    logits = model(batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False).logits
    logits, labels = logits[:, :-1].contiguous(), batch["labels"][:, 1:].contiguous()
    flat = F.cross_entropy(logits.view(-1, logits.shape[-1]), labels.view(-1), reduction="none", ignore_index=IGNORED)
    return flat.view(labels.shape), (labels != IGNORED).sum(1)


def training_loss(model, batch, weights: torch.Tensor, sources: torch.Tensor) -> torch.Tensor:
    """L2 = Σ p_i l_i, with l_i the mean over the examples of source i of their mean answer-token losses."""
    tokens, counts = token_losses(model, batch)
    return weights @ group_means(tokens.sum(1) / counts, sources, len(weights))


def validation_loss(model, batch) -> torch.Tensor:
    """L1: the mean over all answer tokens of the batch."""
    tokens, counts = token_losses(model, batch)
    return tokens.sum() / counts.sum()


class ReleasedStep:
    """u, w and their optimisers; `step(batch)` is one outer step. `layers` are those that LISA has active."""

    def __init__(self, make_model: Callable, layers: list[int], seed: int = 0):
        self.u, self.w = make_model(), make_model()
        self.optimizers = [self.make_optimizer(model) for model in (self.u, self.w)]
        for model in (self.u, self.w):
            model.train()
            # A step costs the same whichever layers are active, so u and w have the same ones here.
            lisa.activate(model, layers)
        torch.manual_seed(torch_seed(seed, "bench dropout"))

    def make_optimizer(self, model: torch.nn.Module) -> torch.optim.Optimizer:
        """AdamW, one parameter at a time, as it is after many draws of layers."""
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, weight_decay=5e-4, foreach=False, fused=False)
        remember_every_layer(model, optimizer)
        return optimizer

    def training_loss(self, model: torch.nn.Module, examples: list[Example]) -> torch.Tensor:
        """L2 at equal weights."""
        sources = torch.tensor([example.source for example in examples])
        count = int(sources.max()) + 1
        return training_loss(model, pad(examples), torch.full((count,), 1 / count), sources)

    def validation_loss(self, model: torch.nn.Module, examples: list[Example]) -> torch.Tensor:
        """L1."""
        return validation_loss(model, pad(examples))

    def step(self, batch: Batch) -> tuple[float, float, float]:
        """u on α L2, then w on α L2 and on L1, one update each; returns L2(u), L2(w) and L1(w) from before them."""
        (of_u,) = self.update(self.optimizers[0], lambda: ALPHA * self.training_loss(self.u, batch.training))
        of_w, held_out = self.update(
            self.optimizers[1],
            lambda: ALPHA * self.training_loss(self.w, batch.training),
            lambda: self.validation_loss(self.w, batch.validation),
        )
        return of_u / ALPHA, of_w / ALPHA, held_out

    def update(self, optimizer: torch.optim.Optimizer, *terms: Callable[[], torch.Tensor]) -> list[float]:
        """One update on the sum of `terms`, each computed and differentiated by itself; returns their values."""
        optimizer.zero_grad()
        values = []
        for term in terms:
            loss = term()
            loss.backward()
            values.append(loss.item())
        optimizer.step()
        return values


def remember_every_layer(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Bring `optimizer` where a long run brings it: with state for every layer, because each was active at some time.

    By updates with zero gradients at learning rate 0, two layers at a time as LISA does, which move nothing.
    """
    stack = lisa.find_layers(model)
    rate = optimizer.param_groups[0]["lr"]
    optimizer.param_groups[0]["lr"] = 0.0
    for first in range(0, len(stack), 2):
        lisa.activate(model, list(range(first, min(first + 2, len(stack)))))
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    optimizer.param_groups[0]["lr"] = rate
