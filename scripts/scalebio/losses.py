"""Losses over response tokens: per token, then the mean per example, then the mean per source.

The order of the means matters: a long answer does not outweigh a short one, and a source's size does not matter,
only its weight (paper §2; the ACL release averages the same way, the preview release does not).
"""

import torch
import torch.nn.functional as F

from scalebio.batching import Packed, pack


class ResponseLoss:
    """Cross-entropy at response tokens only, without computing logits anywhere else."""

    def __init__(self, model: torch.nn.Module):
        self.head_is_plain = _head_is_plain(model)

    def __call__(self, model: torch.nn.Module, batch: Packed) -> torch.Tensor:
        """Mean response-token loss of each example, in nats: shape [examples]."""
        if self.head_is_plain:
            hidden = model.base_model(input_ids=batch.input_ids, position_ids=batch.position_ids, use_cache=False)[0]
            logits = model.get_output_embeddings()(hidden.flatten(0, 1)[batch.predictors])
        else:
            full = model(input_ids=batch.input_ids, position_ids=batch.position_ids, use_cache=False).logits
            logits = full.flatten(0, 1)[batch.predictors]
        losses = F.cross_entropy(logits.float(), batch.targets, reduction="none")
        return group_means(losses, batch.samples, batch.examples)


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


@torch.inference_mode()
def mean_losses(model: torch.nn.Module, examples: list, row_length: int, batch_tokens: int = 8192) -> torch.Tensor:
    """Mean response-token loss of each example without gradients: shape [examples], float64, in the given order."""
    loss = ResponseLoss(model)
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    # Batches of similar lengths pack well and bound the memory of the widest one.
    order = sorted(range(len(examples)), key=lambda i: len(examples[i].ids))
    result = torch.empty(len(examples), dtype=torch.float64)
    start = 0
    while start < len(order):
        end, tokens = start, 0
        while end < len(order) and (end == start or tokens + len(examples[order[end]].ids) <= batch_tokens):
            tokens += len(examples[order[end]].ids)
            end += 1
        chunk = order[start:end]
        result[chunk] = loss(model, pack([examples[i] for i in chunk], row_length).to(device)).double().cpu()
        start = end
    model.train(was_training)
    return result
