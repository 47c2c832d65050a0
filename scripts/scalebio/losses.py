"""Losses over response tokens: per token, then the mean per example, then the mean per source.

The order of the means matters: a long answer does not outweigh a short one, and a source's size does not matter,
only its weight (paper §2; the ACL release averages the same way, the preview release does not).
"""

import contextlib

import torch
import torch.nn.functional as F

from scalebio import example_attention, fusing
from scalebio.batching import Packed, pack
from scalebio.errors import UserError
from scalebio.linear_cross_entropy import linear_cross_entropy


class ResponseLoss(torch.nn.Module):
    """A causal language model whose output is its loss: cross-entropy at response tokens, no logits anywhere else.

    A module around the model, so that a sharded model is gathered once for its body and its head together. The model is
    rewired in place to compute the same with less (`fusing`, `example_attention`, `linear_cross_entropy`); the last
    allows one backward pass of first order, so whoever differentiates twice sets `fused=False`.

    `in_place` promises that `backward()` of each Σ c_i l_i follows, unscaled: where input and output embedding are one
    tensor, its gradient from the head is then added to `grad` already in the forward pass, and that from the lookup is
    sparse, so that no second and third tensor of its size is made.
    """

    in_place = False

    def __init__(self, model: torch.nn.Module, fused: bool = True):
        super().__init__()
        self.model, self.fused = model, fused
        _refuse_leaks(model)
        self.head_is_plain = _head_is_plain(model)
        if fused:
            fusing.fuse(model)
        self.by_example = fused and example_attention.prepare(model)

    def forward(self, batch: Packed, coefficients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Σ c_i l_i, to be differentiated, and l_i, detached: the mean response-token loss of each example, in nats.

        `coefficients` and the losses have shape [examples].
        """
        objective, tokens = self.by_token(batch, coefficients)
        return objective, group_means(tokens, batch.samples, batch.examples)

    def by_token(self, batch: Packed, coefficients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Σ c_i l_i as `forward`, and the loss of each response token, detached, in the order of `batch.targets`.

        Not to be called on a module that is split over processes: its layers are gathered for `forward` only.
        """
        # A model may have been moved since; a GPU's attention kernels want few and large calls.
        if self.by_example and batch.input_ids.device.type == "cpu":
            row = example_attention.one_row(batch)
            inputs, predictors = row.arguments(), row.predictors
        else:
            inputs = {"input_ids": batch.input_ids, "position_ids": batch.position_ids}
            predictors = batch.predictors
        if self.head_is_plain:
            embedding, head = self.model.get_input_embeddings(), self.model.get_output_embeddings()
            in_place = self.in_place and self.fused and _accumulates(embedding, head.weight)
            with _sparse_gradient(embedding, in_place):
                hidden = self.model.base_model(**inputs, use_cache=False)[0].flatten(0, 1)[predictors]
            # In half precision plain autograd sums the head's gradient in float32; the fused path would not.
            if self.fused and hidden.dtype == head.weight.dtype and hidden.dtype.itemsize >= 4:
                sizes = torch.bincount(batch.samples, minlength=batch.examples)
                shares = (coefficients / sizes)[batch.samples]
                if in_place and head.weight.grad is None:
                    head.weight.grad = torch.zeros_like(head.weight)
                return linear_cross_entropy(
                    hidden,
                    head.weight,
                    batch.targets,
                    shares,
                    getattr(head, "bias", None),
                    weight_gradient=head.weight.grad if in_place else None,
                )
            logits = head(hidden)
        else:
            logits = self.model(**inputs, use_cache=False).logits.flatten(0, 1)[predictors]
        # At least float32; a float64 model keeps its precision.
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        tokens = F.cross_entropy(logits, batch.targets, reduction="none")
        losses = group_means(tokens, batch.samples, batch.examples)
        return coefficients.to(losses.dtype) @ losses, tokens.detach()


def _refuse_leaks(model: torch.nn.Module) -> None:
    """Raise UserError for a model in which packed examples see each other.

    That is one that does not take the start of an example from position ids (measured: OPT, BLOOM, Mamba, Falcon with
    ALiBi); there the difference is 2 % to 45 % of the largest hidden value, elsewhere rounding.
    """
    device = next(model.parameters()).device
    one = torch.arange(1, 7, device=device)
    row, positions = torch.cat([one.flip(0), one])[None], torch.cat([torch.arange(6, device=device)] * 2)[None]
    was_training = model.training
    model.eval()  # dropout would differ between the two passes
    with torch.no_grad():
        packed = model.base_model(input_ids=row, position_ids=positions, use_cache=False)[0][0, 6:].float()
        alone = model.base_model(input_ids=one[None], use_cache=False)[0][0].float()
    model.train(was_training)
    # Rounding: measured 1.1e-4 for a fine-tuned model of 30 layers in float32, a little under 1e-2 in half precision.
    rounding = 5e-3 if next(model.parameters()).dtype.itemsize >= 4 else 2e-2
    if (packed - alone).abs().max() > rounding * alone.abs().max():
        raise UserError(
            f"{type(model).__name__} does not keep the examples of a packed row apart: it does not heed position ids. "
            "Use a model whose attention does, such as GPT-2, Llama, GPT-NeoX, Gemma, Mistral, Qwen or Yi."
        )


def _accumulates(embedding: torch.nn.Module, weight: torch.Tensor) -> bool:
    """Whether gradients may go into `weight.grad` directly: one trained tensor for input and output, on one process.

    Not under inference or `no_grad`, and not where hooks of a distributed run wait for the gradient.
    """
    return (
        embedding.weight is weight
        and weight.is_leaf
        and weight.requires_grad
        and torch.is_grad_enabled()
        and hasattr(embedding, "sparse")
        and not (torch.distributed.is_available() and torch.distributed.is_initialized())
    )


@contextlib.contextmanager
def _sparse_gradient(embedding: torch.nn.Module, wanted: bool):
    """Look-ups inside have a gradient of the rows looked up, not one of the whole embedding, where `wanted`."""
    before = getattr(embedding, "sparse", None)
    if wanted:
        embedding.sparse = True
    try:
        yield
    finally:
        if wanted:
            embedding.sparse = before


def _head_is_plain(model: torch.nn.Module) -> bool:
    """Whether logits are just the output embedding applied to the last hidden state; some models rescale or cap them."""
    ids = torch.arange(1, 5, device=next(model.parameters()).device)[None]
    was_training = model.training
    model.eval()  # with dropout no two passes are alike
    with torch.no_grad():
        hidden = model.base_model(input_ids=ids, use_cache=False)[0]
        logits = model(input_ids=ids, use_cache=False).logits
        plain = torch.allclose(model.get_output_embeddings()(hidden), logits, atol=1e-5)
    model.train(was_training)
    return plain


def group_means(values: torch.Tensor, groups: torch.Tensor, count: int) -> torch.Tensor:
    """Mean of `values` [n] within each of `count` groups given by index `groups` [n]: shape [count]; empty groups are NaN."""
    sums = torch.zeros(count, dtype=values.dtype, device=values.device).index_add(0, groups, values)
    sizes = torch.zeros(count, dtype=values.dtype, device=values.device).index_add(0, groups, torch.ones_like(values))
    return sums / sizes


@torch.no_grad()
def evaluate(loss: torch.nn.Module, examples: list, collate, parallel, batch_tokens: int = 8192) -> torch.Tensor:
    """The loss of each example by a loss module, in the given order: shape [examples], float64, on the CPU.

    The processes of `parallel` share the work; `collate` turns a list of examples into a batch.
    """
    # Batches of similar lengths pack well and bound the memory of the widest one.
    order = sorted(range(len(examples)), key=lambda i: len(examples[i].ids))
    chunks, tokens = [], batch_tokens
    for i in order:
        if tokens + len(examples[i].ids) > batch_tokens:
            chunks.append([])
            tokens = 0
        chunks[-1].append(i)
        tokens += len(examples[i].ids)
    result = torch.zeros(len(examples), dtype=torch.float64)
    for start in range(0, len(chunks), parallel.world):
        # A process that has no chunk left still takes part in gathering layers.
        mine = start + parallel.rank
        chunk = chunks[min(mine, len(chunks) - 1)]
        batch = collate([examples[i] for i in chunk]).to(parallel.device)
        with parallel.autocast():
            losses = loss(batch, torch.ones(len(chunk), device=parallel.device))[1]
        if mine < len(chunks):
            result[chunk] = losses.double().cpu()
    return parallel.sum(result)


def mean_losses(model: torch.nn.Module, examples: list, row_length: int, batch_tokens: int = 8192) -> torch.Tensor:
    """Mean response-token loss of each example by one process, without gradients: shape [examples], float64."""
    from scalebio.parallel import Parallel

    was_training = model.training
    loss = ResponseLoss(model).eval()
    losses = evaluate(loss, examples, lambda chunk: pack(chunk, row_length), Parallel(), batch_tokens)
    model.train(was_training)
    return losses
