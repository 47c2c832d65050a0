"""The released code's outer step written plainly, and the ideas that make it cheaper, each of which can be switched on.

Written from the ACL release (research4pan/scalebio), whose own code needs several GPUs: per outer step three separate
forward and backward passes over padded batches with logits and cross-entropy at every position (u on the training
batch; w on the same training batch; w on the validation batch), dropout on, AdamW one parameter at a time, LISA with
independent draws for u and w, embeddings and final norm always training, gradients of a model dropped at the beginning
of its next step, optimiser state kept for ever. Losses as in that release: the mean over the answer tokens of an
example, averaged per source; L1 is the mean over all answer tokens of the validation batch. Not there: accelerate,
evaluation, logging, and the update of λ, a few scalars.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from scalebio import lisa
from scalebio.chat import Example
from scalebio.losses import group_means
from scalebio.streams import stream, torch_seed

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
    return {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask), "labels": torch.from_numpy(labels)}


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
    """u, w, their optimisers and the fixed batches of one shape; `step()` is one outer step, λ left out.

    `layers` are LISA's active ones for u and for w: drawn once, because a step costs the same whichever are drawn.
    """

    def __init__(self, make_model: Callable, training: list[Example], validation: list[Example], sources: int, seed: int):
        self.u, self.w = make_model(), make_model()
        self.training, self.validation = training, validation
        self.weights = torch.full((sources,), 1 / sources)
        self.source_of = torch.arange(len(training)) * sources // len(training)
        torch.manual_seed(torch_seed(seed, "bench dropout"))
        rng = stream(seed, "bench layers")
        self.optimizers = []
        for model in (self.u, self.w):
            model.train()
            optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, weight_decay=5e-4, foreach=False, fused=False)
            remember_every_layer(model, optimizer)
            self.optimizers.append(optimizer)
            total = len(lisa.find_layers(model))
            lisa.activate(model, sorted(rng.choice(total, 2, replace=False).tolist()))

    def step(self) -> None:
        """One outer step: u on L2, then w on α L2 and on L1, one update each."""
        batch, held_out = pad(self.training), pad(self.validation)
        self.optimizers[0].zero_grad()
        (ALPHA * training_loss(self.u, batch, self.weights, self.source_of)).backward()
        self.optimizers[0].step()
        self.optimizers[1].zero_grad()
        (ALPHA * training_loss(self.w, batch, self.weights, self.source_of)).backward()
        validation_loss(self.w, held_out).backward()
        self.optimizers[1].step()


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
