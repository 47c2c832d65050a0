"""A language model's losses as functions of one flat vector of its parameters, differentiable as often as wanted.

What `hypergradient` takes derivatives of. Fused kernels have no second derivative, so attention must be `eager` and the
loss not fused; `ready` sees to both. Tokens are counted where they go through the model.
"""

import torch

from scalebio.batching import Packed, pack
from scalebio.chat import Example
from scalebio.losses import ResponseLoss


def ready(model: torch.nn.Module) -> ResponseLoss:
    """The loss module of `model`, dropout off and without kernels that cannot be differentiated twice."""
    model.set_attn_implementation("eager")
    return ResponseLoss(model.eval(), fused=False)


def vector(loss: torch.nn.Module) -> torch.Tensor:
    """All parameters in a row, shape [parameters], detached."""
    return torch.cat([parameter.detach().flatten() for parameter in loss.parameters()])


class FlatLosses:
    """l_i and L1 of fixed examples, as `hypergradient.Losses`; `base`, shape [parameters], is where training starts.

    `by_source`: the same number of examples for every source. `forward_tokens` counts each pass of the examples forward,
    `backward_tokens` each derivative in w, so a product with the Hessian counts once beside the gradient it is taken of.
    """

    def __init__(
        self,
        loss: ResponseLoss,
        by_source: list[list[Example]],
        validation: list[Example],
        row_length: int,
        base: torch.Tensor | None = None,
    ):
        self._loss, self.sources, self.rows = loss, len(by_source), len(by_source[0])
        self._shapes = {name: parameter.shape for name, parameter in loss.named_parameters()}
        self.base = vector(loss) if base is None else base
        training = [example for examples in by_source for example in examples]
        self._training, self._validation = (
            pack(examples, row_length).to(self.base.device) for examples in (training, validation)
        )
        self.forward_tokens = self.backward_tokens = 0

    def objective(self, w: torch.Tensor, weights: torch.Tensor, validation: float) -> torch.Tensor:
        """Σ weights_i l_i(w) + validation · L1(w), differentiable in w and weights; a part that counts 0 is left out."""
        total = w.new_zeros(())
        if weights.requires_grad or weights.any():
            shares = (weights.to(w) / self.rows).repeat_interleave(self.rows)
            total = total + self._evaluate(w, self._training, shares)[0]
        if validation:
            count = self._validation.examples
            total = total + self._evaluate(w, self._validation, w.new_full((count,), validation / count))[0]
        return total

    def losses(self, w: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """l_i(w), shape [sources], and L1(w), without gradients."""
        with torch.no_grad():
            sources, held_out = (
                self._evaluate(w, batch, w.new_zeros(batch.examples))[1] for batch in (self._training, self._validation)
            )
        return sources.reshape(self.sources, self.rows).mean(1), held_out.mean()

    def _evaluate(
        self, w: torch.Tensor, batch: Packed, coefficients: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self.forward_tokens += batch.tokens
        if w.requires_grad:
            w = w.view_as(w)
            w.register_hook(lambda gradient: self._count_backward(batch.tokens))
        parts = torch.split(w, [shape.numel() for shape in self._shapes.values()])
        named = {name: part.view(shape) for (name, shape), part in zip(self._shapes.items(), parts, strict=True)}
        return torch.func.functional_call(self._loss, named, (batch, coefficients))

    def _count_backward(self, tokens: int) -> None:
        self.backward_tokens += tokens
