"""Losses over response tokens: per token, then the mean per example, then the mean per source.

The order of the means matters: a long answer does not outweigh a short one, and a source's size does not matter,
only its weight (paper §2; the ACL release averages the same way, the preview release does not).
"""

import torch
import torch.nn.functional as F

from scalebio.batching import Packed, pack
from scalebio.errors import UserError


class ResponseLoss(torch.nn.Module):
    """A causal language model whose output is its loss: cross-entropy at response tokens, no logits anywhere else.

    A module around the model, so that a sharded model is gathered once for its body and its head together.
    """

    def __init__(self, model: torch.nn.Module):
        super().__init__()
        self.model = model
        _refuse_leaks(model)
        self.head_is_plain = _head_is_plain(model)

    def forward(self, batch: Packed, coefficients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Σ c_i l_i, to be differentiated, and l_i, detached: the mean response-token loss of each example, in nats.

        `coefficients` and the losses have shape [examples].
        """
        at = {"input_ids": batch.input_ids, "position_ids": batch.position_ids, "use_cache": False}
        if self.head_is_plain:
            hidden = self.model.base_model(**at)[0].flatten(0, 1)[batch.predictors]
            logits = self.model.get_output_embeddings()(hidden)
        else:
            logits = self.model(**at).logits.flatten(0, 1)[batch.predictors]
        # At least float32; a float64 model keeps its precision.
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        tokens = F.cross_entropy(logits, batch.targets, reduction="none")
        losses = group_means(tokens, batch.samples, batch.examples)
        return coefficients.to(losses.dtype) @ losses, losses.detach()


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
    # Rounding in half precision is a little under one per cent.
    rounding = 1e-4 if next(model.parameters()).dtype.itemsize >= 4 else 2e-2
    if (packed - alone).abs().max() > rounding * alone.abs().max():
        raise UserError(
            f"{type(model).__name__} does not keep the examples of a packed row apart: it does not heed position ids. "
            "Use a model whose attention does, such as GPT-2, Llama, GPT-NeoX, Gemma, Mistral, Qwen or Yi."
        )


def _head_is_plain(model: torch.nn.Module) -> bool:
    """Whether logits are just the output embedding applied to the last hidden state; some models rescale or cap them."""
    ids = torch.arange(1, 5, device=next(model.parameters()).device)[None]
    with torch.no_grad():
        hidden = model.base_model(input_ids=ids, use_cache=False)[0]
        return torch.allclose(
            model.get_output_embeddings()(hidden), model(input_ids=ids, use_cache=False).logits, atol=1e-5
        )


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
