"""One objective differentiated in several passes, so that the activations of a large batch never exist at once.

The objective is a sum over examples whose coefficients are known, so the gradients of its parts add up to the whole
exactly; a pass holds as many examples as fit the token budget of the device.
"""

import torch

from scalebio.batching import pack
from scalebio.chat import Example
from scalebio.losses import ResponseLoss

# On a CPU a matrix product runs at full speed from some 500 rows on: larger passes would only cost memory. On a GPU
# larger ones are faster.
PASS_TOKENS = {"cpu": 1024}
PASS_TOKENS_ELSEWHERE = 16384


def split(examples: list[Example], tokens: int) -> list[list[int]]:
    """Indices of `examples` in as few parts as hold about `tokens` tokens each, of sizes as equal as longest-first finds."""
    sizes = [len(example.ids) for example in examples]
    parts: list[list[int]] = [[] for _ in range(min(len(examples), -(-sum(sizes) // tokens)))]
    filled = [0] * len(parts)
    for index in sorted(range(len(examples)), key=lambda i: -sizes[i]):
        least = filled.index(min(filled))
        parts[least].append(index)
        filled[least] += sizes[index]
    return [sorted(part) for part in parts]


def backward(
    loss: ResponseLoss, examples: list[Example], coefficients: torch.Tensor, row_length: int, tokens: int | None = None
) -> torch.Tensor:
    """Add the gradients of Σ c_i l_i to the model's; returns l_i [examples], detached, on the coefficients' device (ours).

    `tokens` is the budget of a pass; unset, what suits the device.
    """
    device = coefficients.device
    losses = torch.empty(len(examples), device=device)
    for part in split(examples, tokens or PASS_TOKENS.get(device.type, PASS_TOKENS_ELSEWHERE)):
        batch = pack([examples[i] for i in part], row_length).to(device)
        objective, losses[part] = loss(batch, coefficients[part], in_place=True)
        objective.backward()
    return losses
