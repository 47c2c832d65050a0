"""A model in training whose sources' gradients are looked at one by one before it steps on their weighted sum.

What gradient matching and gradient alignment share: draws, LISA, one AdamW step on a gradient that the caller put
together. `Learner` sums all rows' gradients in one backward pass, so it never has a single source's.
"""

import torch

from scalebio import lisa, lora, schedules
from scalebio.batching import Cycle, StratifiedDraws, pack
from scalebio.chat import Example
from scalebio.config import Lisa
from scalebio.errors import UserError
from scalebio.losses import ResponseLoss
from scalebio.streams import stream


def flat_gradient(
    loss: ResponseLoss, examples: list[Example], parameters: list[torch.nn.Parameter], row_length: int
) -> torch.Tensor:
    """Gradient of the mean loss of `examples` in `parameters`, flat: [parameters' elements], on their device.

    Raises UserError, naming the rows, if a loss or the gradient is not finite.
    """
    device = parameters[0].device
    share = torch.full((len(examples),), 1 / len(examples), dtype=parameters[0].dtype, device=device)
    objective, losses = loss(pack(examples, row_length).to(device), share)
    gradient = torch.cat([part.flatten() for part in torch.autograd.grad(objective, parameters)])
    refuse_not_finite(examples, losses, gradient)
    return gradient


def refuse_not_finite(examples: list[Example], losses: torch.Tensor, gradient: torch.Tensor) -> None:
    """Raise UserError, naming the rows, unless all losses [examples] and the gradient are finite."""
    if torch.isfinite(losses).all() and torch.isfinite(gradient).all():
        return
    fine = torch.isfinite(losses).tolist()
    bad = [row for row, ok in zip(examples, fine, strict=True) if not ok] or examples
    names = [row.name or f"a row of source number {row.source}" for row in bad]
    more = f" and {len(names) - 5} more" if names[5:] else ""
    raise UserError(
        f"A loss or its gradient is not finite; rows at fault are among: {', '.join(names[:5])}{more}. Mend them, or "
        "lower `learning_rate` of the method."
    )


class SourceGradients:
    """A model, its AdamW, its active layers, and draws from streams that begin with `name`.

    A step is `start`, any number of `gradient`, and `descend`. `settings` has steps, learning_rate, per_source,
    validation_batch and ramp.
    """

    def __init__(
        self,
        name: str,
        model: torch.nn.Module,
        by_source: list[list[Example]],
        validation: list[Example],
        settings,
        seed: int,
        row_length: int,
        layers: Lisa | None = None,
    ):
        self.model = model.eval()  # dropout off, as in the bilevel loop
        self.loss, self.settings, self.row_length, self.lisa = ResponseLoss(model), settings, row_length, layers
        self.validation, self.count = validation, len(by_source)
        self.device = next(model.parameters()).device
        self.draws = StratifiedDraws(by_source, settings.per_source, stream(seed, f"{name} training batches"))
        self.validation_draws = Cycle(len(validation), stream(seed, f"{name} validation batches"))
        self.layer_draws = lisa.draws_for(model, layers, stream(seed, f"{name} layers"))
        parameters = list(lora.trainable(model).values())
        for parameter in parameters:
            parameter.requires_grad_(True)
        self.optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=0.0)
        self.done = 0
        self.tokens = 0  # that went forward and backward

    @property
    def rate(self) -> float:
        """The learning rate of the step that is due."""
        settings = self.settings
        return settings.learning_rate * schedules.ramp_cosine(self.done, settings.steps, settings.ramp)

    def start(self) -> list[list[Example]]:
        """Begin a step: LISA draws layers where an interval starts; the step's examples, one list per source."""
        drawn = self.layer_draws.at(self.done) if self.layer_draws else None
        if drawn is not None:
            lisa.activate(self.model, drawn, self.lisa.embeddings)
            lisa.free_frozen(self.optimizer)
        examples, size = self.draws.next(), self.settings.per_source
        return [examples[i * size : (i + 1) * size] for i in range(self.count)]

    def held_out(self) -> list[Example]:
        """The next validation batch."""
        return [self.validation[j] for j in self.validation_draws.take(self.settings.validation_batch)]

    def active(self) -> list[torch.nn.Parameter]:
        """The parameters that train."""
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def gradient(self, examples: list[Example]) -> torch.Tensor:
        """Gradient of the mean loss of `examples`, flat, of the parameters that train. Raises UserError as `flat_gradient`."""
        self.tokens += sum(len(example.ids) for example in examples)
        return flat_gradient(self.loss, examples, self.active(), self.row_length)

    def descend(self, gradient: torch.Tensor) -> None:
        """End a step: AdamW along a flat gradient of the parameters that train."""
        at = 0
        for parameter in self.active():
            parameter.grad = gradient[at : at + parameter.numel()].view_as(parameter).clone()
            at += parameter.numel()
        self.optimizer.param_groups[0]["lr"] = self.rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.done += 1
