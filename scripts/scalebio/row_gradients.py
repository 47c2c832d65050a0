"""Gradients of single rows in adapters, many rows in one pass forward and backward.

The gradient of a linear layer's weight is a sum over tokens of (derivative of the loss in the layer's output) × (its input)ᵀ.
Packed examples do not see each other, so the terms at one example's tokens are the gradient of that example's own loss.
Autograd would add up all tokens; here outputs and inputs are kept and added up example by example (Goodfellow 2015, arXiv
1510.01799, for layers without sequences). The same numbers as a backward pass for each row, up to the order of sums.
"""

from collections.abc import Iterator

import torch
from torch.nn.utils.rnn import pad_sequence

from scalebio.batching import Packed, pack
from scalebio.chat import Example
from scalebio.losses import ResponseLoss
from scalebio.parallel import PASS_TOKENS, PASS_TOKENS_ELSEWHERE
from scalebio.source_gradients import refuse_not_finite


def row_gradients(
    loss: ResponseLoss, examples: list[Example], parameters: list[torch.nn.Parameter], row_length: int
) -> torch.Tensor:
    """The gradient of each example's loss in `parameters`: [examples, their elements], on their device.

    `parameters` are weights of linear layers, as adapters' are. Raises UserError, naming the rows, if a loss or a gradient is
    not finite, and KeyError for a parameter of another kind.
    """
    device = parameters[0].device
    parts = [
        _one_pass(loss, part, parameters, pack(part, row_length).to(device)) for part in _passes(examples, device.type)
    ]
    return torch.cat(parts)


def _passes(examples: list[Example], device: str) -> Iterator[list[Example]]:
    """Consecutive examples with about as many tokens as suit a pass on the device, one at least."""
    most, part, tokens = PASS_TOKENS.get(device, PASS_TOKENS_ELSEWHERE), [], 0
    for example in examples:
        if part and tokens + len(example.ids) > most:
            yield part
            part, tokens = [], 0
        part.append(example)
        tokens += len(example.ids)
    yield part


def _one_pass(
    loss: ResponseLoss, examples: list[Example], parameters: list[torch.nn.Parameter], batch: Packed
) -> torch.Tensor:
    by_weight = {id(module.weight): module for module in loss.modules() if isinstance(module, torch.nn.Linear)}
    calls: list[list[tuple[torch.Tensor, torch.Tensor]]] = [[] for _ in parameters]

    def keep(place: int):
        return lambda module, inputs, output: calls[place].append((inputs[0].detach(), output))

    hooks = [by_weight[id(one)].register_forward_hook(keep(place)) for place, one in enumerate(parameters)]
    try:
        objective, losses = loss(
            batch, torch.ones(len(examples), dtype=parameters[0].dtype, device=batch.input_ids.device)
        )
    finally:
        for hook in hooks:
            hook.remove()
    derivatives = iter(torch.autograd.grad(objective, [output for layer in calls for _, output in layer]))
    owners = _owners(batch)
    gradient = torch.cat(
        [
            sum(_by_example(inputs, next(derivatives), owners, len(examples)) for inputs, _ in layer).flatten(1)
            for layer in calls
        ],
        dim=1,
    )
    refuse_not_finite(examples, losses, gradient)
    return gradient


def _owners(batch: Packed) -> torch.Tensor:
    """The index of the example that each place of the packed rows, flat, belongs to; -1 for padding."""
    blocks = (batch.position_ids.flatten() == 0).cumsum(0) - 1
    of_block = torch.full((int(blocks[-1]) + 1,), -1, device=blocks.device)
    # Every example has a response token; padding has none.
    of_block[blocks[batch.predictors]] = batch.samples
    return of_block[blocks]


def _by_example(inputs: torch.Tensor, derivatives: torch.Tensor, owners: torch.Tensor, count: int) -> torch.Tensor:
    """Σ over an example's tokens of derivative × inputᵀ: [examples, outputs, inputs]."""
    inputs, derivatives = inputs.flatten(0, -2), derivatives.flatten(0, -2)
    if len(inputs) != len(owners):  # example by example, without padding (`example_attention.one_row`)
        owners = owners[owners >= 0]
    places = [(owners == example).nonzero().flatten() for example in range(count)]
    # Shorter examples point at one more token, whose derivative is zero.
    index = pad_sequence(places, batch_first=True, padding_value=len(owners))
    nothing = torch.zeros(1, 1, dtype=derivatives.dtype, device=derivatives.device)
    inputs, derivatives = (
        torch.cat([values, nothing.expand(1, values.shape[1])])[index] for values in (inputs, derivatives)
    )
    return derivatives.transpose(1, 2) @ inputs
