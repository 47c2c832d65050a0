"""Attention within each packed example alone, so that packing costs nothing where there is no kernel for it.

Examples packed end to end must not see each other. By default transformers builds a mask of row length x row length
for that, and the attention kernel computes every pair only to hide most of them, the upper triangle included. On a GPU,
flash attention takes the lengths instead; on a CPU, splitting the row by example and running torch's causal kernel on each
part does the same: cost grows with the examples' own lengths, rows need no padding, and no mask exists.

`prepare` switches a model over if a probe shows that it then computes the same; every other model, and every call
without `lengths`, takes the usual path with its mask.
"""

from dataclasses import dataclass

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from scalebio.batching import Packed

NAME = "sdpa_by_example"
# A four-dimensional mask is passed on as it is, so that none is built; the attention below does not look at it.
NO_MASK = torch.zeros(1, 1, 1, 1)


def attention(module, query, key, value, attention_mask, example_lengths=None, **kwargs):
    """transformers' SDPA attention; with `example_lengths` (tokens of each example of the one row), example by example.

    `query`, `key`, `value` [1, heads, tokens, width]; returns [1, tokens, heads, width] and None.
    """
    if example_lengths is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    # `split` joins the gradients of the parts by one concatenation; slices would each make a tensor of full size.
    parts = zip(*(tensor.split(example_lengths, dim=2) for tensor in (query, key, value)), strict=True)
    kwargs["is_causal"] = True
    outputs = [sdpa_attention_forward(module, q, k, v, None, **kwargs)[0] for q, k, v in parts]
    return torch.cat(outputs, dim=1), None


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, sdpa_mask)


@dataclass(frozen=True)
class OneRow:
    """A packed batch without padding: `input_ids`, `position_ids` [1, tokens], `predictors` as in Packed, `lengths`."""

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    predictors: torch.Tensor
    lengths: tuple[int, ...]

    def arguments(self) -> dict:
        """What the forward pass of a prepared model takes."""
        return {
            "input_ids": self.input_ids,
            "position_ids": self.position_ids,
            "attention_mask": NO_MASK.to(self.input_ids.device),
            "example_lengths": list(self.lengths),
        }


def one_row(batch: Packed) -> OneRow:
    """The rows of a packed batch end to end in one, without the padding at their ends."""
    used = torch.tensor([sum(row) for row in batch.lengths], device=batch.input_ids.device)
    real = torch.arange(batch.input_ids.shape[1], device=used.device) < used[:, None]
    place = real.flatten().cumsum(0) - 1
    lengths = tuple(length for row in batch.lengths for length in row)
    return OneRow(batch.input_ids[real][None], batch.position_ids[real][None], place[batch.predictors], lengths)


@torch.no_grad()
def prepare(model: torch.nn.Module) -> bool:
    """Let `model` attend example by example; False, and nothing changed, where that is of no use or not the same (ours).

    Of no use off the CPU; not the same for models that do not hand the lengths down to their attention, or attend in
    another way (windows, biases, chunks): found out by a probe with two examples.
    """
    config = model.config
    if config._attn_implementation == NAME:
        return True
    device = next(model.parameters()).device
    if config._attn_implementation != "sdpa" or device.type != "cpu" or _windows(config):
        return False
    ids, zero = torch.arange(1, 10), torch.arange(5)
    lengths = (5, 4)
    probe = OneRow(ids[None], torch.cat([zero, zero[:4]])[None], ids, lengths)
    was_training = model.training
    model.eval()

    def states(**inputs) -> torch.Tensor:
        return model.base_model(use_cache=False, **inputs)[0]

    try:
        expected = states(input_ids=probe.input_ids, position_ids=probe.position_ids)
        model.set_attn_implementation(NAME)
        try:
            found = states(**probe.arguments())
            # What comes out if the examples do see each other: the probe must be able to tell.
            mixed = states(**probe.arguments() | {"example_lengths": [9]})
        except (TypeError, ValueError, RuntimeError):
            same = False
        else:
            error, difference = (float((other - expected).abs().max()) for other in (found, mixed))
            same = error <= 1e-5 * float(expected.abs().max()) and error * 10 < difference
        if not same:
            model.set_attn_implementation("sdpa")
    finally:
        model.train(was_training)
    return same


def _windows(config) -> bool:
    """Whether a layer sees only so many tokens back: the probe is too short to show that."""
    return any(getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size"))
