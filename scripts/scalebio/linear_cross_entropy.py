"""Cross-entropy of a linear head without ever holding all logits, gradients included.

The logits of T tokens over a vocabulary of V are the largest tensor of a step, and plain autograd keeps them, their
softmax and their gradient. Here rows go through in chunks that share one buffer: logits, then softmax in place, then
their gradient in place, and from it the gradients in hidden states and head weight, all in the forward pass. That needs
the weight of each token in the objective *before* the forward pass, which the loop has: a coefficient for each example.

`torch.nn.functional.linear_cross_entropy` (torch 2.13) does the same for a sum with equal weights; with
`reduction="none"`, which weights per token need, it computes the logits again in the backward pass. On a CPU either is
slower than plain autograd (550 x 768 x 50,257: 5.6 and 7.5 s against 2.1 s plain and 1.9 s here), hence this file.
"""

import torch

# Logits held at a time, in elements (8 M elements are 32 MB in float32): from some 128 rows on, a matrix product runs
# at full speed, so more would only cost memory.
CHUNK_ELEMENTS = 8 * 2**20


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden, weight, bias, targets, coefficients, chunk, weight_gradient):
        kind = hidden.device.type
        # The dtype that a linear layer would compute in here; losses and softmax are at least float32, as are sums.
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
        exact = torch.promote_types(dtype, torch.float32)
        ctx.in_place = weight_gradient is not None
        trains = any(ctx.needs_input_grad)
        grad_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        grad_weight = weight_gradient
        if ctx.needs_input_grad[1] and not ctx.in_place:
            grad_weight = torch.zeros_like(weight, dtype=exact)
        grad_bias = torch.zeros_like(bias, dtype=exact) if ctx.needs_input_grad[2] else None
        tokens = hidden.new_empty(len(targets), dtype=exact)
        with torch.autocast(kind, enabled=False):
            cast, half = weight.to(dtype), dtype != exact
            buffer = hidden.new_empty(min(chunk, len(targets)), weight.shape[0], dtype=dtype)
            for start in range(0, len(targets), chunk):
                here = slice(start, start + chunk)
                rows, at = hidden[here].to(dtype), targets[here, None]
                logits = torch.mm(rows, cast.t(), out=buffer[: len(rows)])
                if bias is not None:
                    logits += bias
                scores = logits.to(exact) if half else logits
                wanted, top = scores.gather(1, at), scores.amax(1, keepdim=True)
                total = scores.sub_(top).exp_().sum(1, keepdim=True)
                tokens[here] = (total.log() + top - wanted)[:, 0]
                if not trains:
                    continue
                # Gradient of c · (log Σ exp z − z_target) in z: c · (softmax(z) − one-hot).
                part = coefficients[here, None].to(exact)
                scores.mul_(part / total).scatter_add_(1, at, -part)
                gradient = logits.copy_(scores) if half else scores
                if grad_hidden is not None:
                    grad_hidden[here] = gradient @ cast
                if grad_weight is not None and half:
                    grad_weight += gradient.t() @ rows
                elif grad_weight is not None:
                    grad_weight.addmm_(gradient.t(), rows)
                if grad_bias is not None:
                    grad_bias += gradient.sum(0)
        kept = (grad_weight if ctx.needs_input_grad[1] and not ctx.in_place else None, weight), (grad_bias, bias)
        ctx.gradients = [grad_hidden, *(made if made is None else made.to(like.dtype) for made, like in kept)]
        ctx.mark_non_differentiable(tokens)
        return coefficients.to(exact) @ tokens, tokens

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
