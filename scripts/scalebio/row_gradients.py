"""Gradients of single rows in adapters, many rows in one pass forward and backward.

The gradient of a linear layer's weight is a sum over tokens of (derivative of the loss in the layer's output) × (its input)ᵀ.
Packed examples do not see each other, so the terms at one example's tokens are the gradient of that example's own loss.
Autograd would add up all tokens; here outputs and inputs are kept and added up example by example (Goodfellow 2015, arXiv
1510.01799, for layers without sequences). The same numbers as a backward pass for each row, up to the order of sums.
"""

import itertools

import torch
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence

from scalebio.batching import Packed, pack
from scalebio.chat import Example
from scalebio.losses import ResponseLoss
from scalebio.parallel import Parallel
from scalebio.source_gradients import refuse_not_finite


def row_gradients(
    loss: ResponseLoss,
    examples: list[Example],
    parameters: list[torch.nn.Parameter],
    row_length: int,
    parallel: Parallel,
) -> torch.Tensor:
    """The gradient of each example's loss in `parameters`: [examples, their elements], on their device.

    `parameters` are weights of linear layers, as adapters' are; `parallel`, of one process, says how many examples a pass
    takes. Raises UserError, naming the rows, if a loss or a gradient is
    not finite, and KeyError for a parameter of another kind.
    """
    device = parameters[0].device
    found = torch.empty(len(examples), sum(one.numel() for one in parameters), dtype=parameters[0].dtype, device=device)
    for part in parallel.share_out([len(example.ids) for example in examples]):
        chosen = [examples[i] for i in part]
        found[part] = _one_pass(loss, chosen, parameters, pack(chosen, row_length).to(device))
    return found


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
    inputs, outputs = zip(*(call for layer in calls for call in layer), strict=True)
    places = _places(batch, len(examples), inputs[0].shape[:-1].numel())
    terms = iter(map(_by_example, inputs, torch.autograd.grad(objective, outputs), itertools.repeat(places)))
    gradient = torch.cat([sum(next(terms) for _ in layer).flatten(1) for layer in calls], dim=1)
    refuse_not_finite(examples, losses, gradient)
    return gradient


def _places(batch: Packed, count: int, tokens: int) -> torch.Tensor:
    """Where the tokens of each example lie among the `tokens` a layer sees: [examples, longest]; `tokens` fills up short ones."""
    blocks = (batch.position_ids.flatten() == 0).cumsum(0) - 1
    of_block = torch.full((int(blocks[-1]) + 1,), -1, device=blocks.device)
    # Every example has a response token; padding has none.
    of_block[blocks[batch.predictors]] = batch.samples
    owners = of_block[blocks]
    if tokens != len(owners):  # without padding (`example_attention.one_row`)
        owners = owners[owners >= 0]
    found = [(owners == example).nonzero().flatten() for example in range(count)]
    return pad_sequence(found, batch_first=True, padding_value=tokens)


def _by_example(inputs: torch.Tensor, derivatives: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Σ over an example's tokens of derivative × inputᵀ: [examples, outputs, inputs]."""
    # The place after the last one counts nothing.
    inputs, derivatives = (pad(values.flatten(0, -2), (0, 0, 0, 1))[places] for values in (inputs, derivatives))
    return derivatives.transpose(1, 2) @ inputs
