"""Cross-entropy of a linear head without ever holding all logits, gradients included.

The logits of T tokens over a vocabulary of V are the largest tensor of a step, and plain autograd keeps them, their
softmax and their gradient. Here rows go through in chunks that share one buffer: logits, then softmax in place, then
their gradient in place, and from it the gradients in hidden states and head weight, all in the forward pass. That needs
the weight of each token in the objective *before* the forward pass, which the loop has: a coefficient for each example.

`torch.nn.functional.linear_cross_entropy` (torch 2.13) does the same for a mean or a sum with equal weights; with
`reduction="none"`, which weights per token need, it computes the logits a second time in the backward pass.
"""

import torch

# Logits held at a time, in elements (8 M elements are 32 MB in float32): from some 128 rows on, a matrix product runs
# at full speed, so more would only cost memory.
CHUNK_ELEMENTS = 8 * 2**20


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden, weight, bias, targets, coefficients, chunk, weight_gradient):
        needs_hidden, needs_weight, needs_bias = (ctx.needs_input_grad[i] for i in range(3))
        tokens = torch.empty(len(targets), dtype=torch.float32 if hidden.dtype != torch.float64 else torch.float64)
        tokens = tokens.to(hidden.device)
        grad_hidden = torch.empty_like(hidden) if needs_hidden else None
        ctx.in_place = weight_gradient is not None
        grad_weight = weight_gradient
        if needs_weight and not ctx.in_place:
            grad_weight = torch.zeros_like(weight)
        grad_bias = torch.zeros_like(bias) if needs_bias else None
        buffer = hidden.new_empty(min(chunk, len(targets)), weight.shape[0])
        for start in range(0, len(targets), chunk):
            rows, at = hidden[start : start + chunk], targets[start : start + chunk, None]
            logits = buffer[: len(rows)]
            torch.mm(rows, weight.t(), out=logits)
            if bias is not None:
                logits += bias
            scores = logits if logits.dtype == tokens.dtype else logits.to(tokens.dtype)
            wanted = scores.gather(1, at)
            top = scores.amax(1, keepdim=True)
            scores.sub_(top).exp_()
            total = scores.sum(1, keepdim=True)
            tokens[start : start + chunk] = (total.log() + top - wanted)[:, 0]
            if not any(ctx.needs_input_grad):
                continue
            # Gradient of c · (log Σ exp z − z_target) in z: c · (softmax(z) − one-hot).
            part = coefficients[start : start + chunk, None].to(scores.dtype)
            scores.mul_(part / total).scatter_add_(1, at, -part)
            gradient = scores if scores.dtype == hidden.dtype else scores.to(hidden.dtype)
            if needs_hidden:
                torch.mm(gradient, weight, out=grad_hidden[start : start + chunk])
            if grad_weight is not None:
                grad_weight.addmm_(gradient.t(), rows)
            if needs_bias:
                grad_bias += gradient.sum(0)
        ctx.gradients = [grad_hidden, None if ctx.in_place else grad_weight, grad_bias]
        ctx.mark_non_differentiable(tokens)
        return coefficients.to(tokens.dtype) @ tokens, tokens

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, upstream, _):
        # Held by nobody else, so scaled in place; a second backward pass would scale twice, hence refused.
        gradients, ctx.gradients = ctx.gradients, None
        if gradients is None:
            raise RuntimeError("linear_cross_entropy: the backward pass can run only once")
        if upstream != 1:
            if ctx.in_place:
                raise RuntimeError("linear_cross_entropy: with `weight_gradient` the objective cannot be scaled")
            for gradient in gradients:
                if gradient is not None:
                    gradient.mul_(upstream)
        return *gradients, None, None, None, None


def linear_cross_entropy(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    targets: torch.Tensor,
    coefficients: torch.Tensor,
    bias: torch.Tensor | None = None,
    chunk_elements: int = CHUNK_ELEMENTS,
    weight_gradient: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Σ_t c_t CE_t, to be differentiated once, and CE_t [tokens], detached, in nats (ours).

    `hidden` [tokens, width], `weight` [vocabulary, width], `targets` and `coefficients` [tokens]. At most
    `chunk_elements` logits exist at a time (but at least one row of them). Frozen arguments get no gradient and cost
    none. With `weight_gradient` the gradient in `weight` is added to that tensor at once, in the forward pass, instead of
    being made anew and handed on; the objective must then be differentiated as it is.
    """
    chunk = max(1, chunk_elements // weight.shape[0])
    return _LinearCrossEntropy.apply(hidden, weight, bias, targets, coefficients.detach(), chunk, weight_gradient)
