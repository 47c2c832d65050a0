"""What ScaleBiO's λ gradient should be: two independent exact references, and its own at full convergence.

The λ gradient of the loop needs losses only; that it is the derivative of the validation loss of the trained model is a
claim. On a problem small enough both can be had: the derivative by implicit differentiation (conjugate gradients on
Hessian-vector products), the same by differentiating through every step of training, and ScaleBiO's gradient at the
exact minima u and w. A language model's loss is not strongly convex, so training here has a ridge around the base,
L2(λ, w) = Σ p_i l_i(w) + ½ ρ ‖w − base‖², the same in everything compared. All in float64, full batch.

Sources: implicit differentiation, Pedregosa 2016 (arXiv 1602.02355); unrolled differentiation in reverse mode, Franceschi
et al. 2017 (arXiv 1703.01785); the penalty gradient, paper §2.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.sparse.linalg import LinearOperator, cg

from scalebio.bilevel import weight_gradient
from scalebio.errors import UserError


class Losses(Protocol):
    """The losses of one flat parameter vector w of shape [parameters]; float64 wherever a minimum is sought."""

    base: torch.Tensor
    sources: int

    def objective(self, w: torch.Tensor, weights: torch.Tensor, validation: float) -> torch.Tensor:
        """Σ weights_i l_i(w) + validation · L1(w), differentiable in w and weights."""

    def losses(self, w: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """l_i(w), shape [sources], and L1(w)."""


@dataclass(frozen=True)
class Problem:
    """Losses and the ridge ρ of the lower problem, ½ ρ ‖w − centre‖²; left out, its centre is the base."""

    losses: Losses
    ridge: float
    centre: torch.Tensor | None = None

    def moved(self, w: torch.Tensor) -> torch.Tensor:
        """‖w − centre‖²."""
        return (w - (self.losses.base if self.centre is None else self.centre)).square().sum()

    def lower(self, w: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
        """L2(λ, w) with its ridge."""
        return self.losses.objective(w, p, 0.0) + 0.5 * self.ridge * self.moved(w)

    def pulled(self, w: torch.Tensor, p: torch.Tensor, alpha: float) -> torch.Tensor:
        """What w minimises: (L1 + α L2) / (1 + α), the ridge a part of L2."""
        share = alpha / (1 + alpha)
        ridge = 0.5 * share * self.ridge * self.moved(w)
        return self.losses.objective(w, share * p, 1 / (1 + alpha)) + ridge

    def upper(self, w: torch.Tensor) -> torch.Tensor:
        """L1(w)."""
        return self.losses.objective(w, w.new_zeros(self.losses.sources), 1.0)


def gradient(function: Callable[[torch.Tensor], torch.Tensor], w: torch.Tensor) -> torch.Tensor:
    """∇ function at w, shape [parameters]."""
    at = w.detach().requires_grad_()
    return torch.autograd.grad(function(at), at)[0]


def hessian(function: Callable[[torch.Tensor], torch.Tensor], w: torch.Tensor) -> LinearOperator:
    """The Hessian at w as a scipy operator; each product costs one backward pass through the gradient's graph."""
    at = w.detach().requires_grad_()
    slope = torch.autograd.grad(function(at), at, create_graph=True)[0]

    def product(v: np.ndarray) -> np.ndarray:
        direction = torch.from_numpy(np.ascontiguousarray(v, dtype=np.float64).ravel()).to(at)
        return torch.autograd.grad(slope @ direction, at, retain_graph=True)[0].double().cpu().numpy()

    return LinearOperator((len(w), len(w)), matvec=product, dtype=np.float64)


def solve(operator: LinearOperator, right: torch.Tensor, tolerance: float, limit: int = 1000) -> torch.Tensor:
    """H⁻¹ right by conjugate gradients to the relative residual `tolerance`, of the type and device of `right`.

    Raises UserError if they do not get there in `limit` products, as when H is not positive definite.
    """
    found, left = cg(operator, right.double().cpu().numpy(), rtol=tolerance, atol=0.0, maxiter=limit)
    if left or found @ operator.matvec(found) <= 0:
        raise UserError("Conjugate gradients did not converge: the lower problem is not well posed. Raise the ridge.")
    return torch.from_numpy(found).to(right)


def minimiser(
    function: Callable[[torch.Tensor], torch.Tensor], start: torch.Tensor, tolerance: float = 1e-12
) -> torch.Tensor:
    """The minimum of `function` that L-BFGS reaches from `start`, shape [parameters], made precise by Newton steps.

    Raises UserError if the largest entry of the gradient does not come below `tolerance`.
    """

    def both(w: np.ndarray) -> tuple[float, np.ndarray]:
        at = torch.tensor(w, requires_grad=True)
        value = function(at)
        return value.item(), torch.autograd.grad(value, at)[0].numpy()

    limits = {"gtol": 1e-4, "ftol": 1e-15, "maxcor": 30, "maxiter": 3000, "maxfun": 4000}
    w = torch.tensor(minimize(both, start.numpy(), jac=True, method="L-BFGS-B", options=limits).x)
    for _ in range(12):
        slope = gradient(function, w)
        if slope.abs().max() <= tolerance:
            return w
        w = w - solve(hessian(function, w), slope, 1e-4)
    raise UserError(f"No minimum found: the gradient is still {slope.abs().max():.1e}. Raise the ridge.")


def trained(problem: Problem, p: torch.Tensor, start: torch.Tensor | None = None) -> torch.Tensor:
    """u*(λ): the minimum of L2 that is reached from the base, or from `start`."""
    return minimiser(lambda w: problem.lower(w, p), problem.losses.base if start is None else start)


def pulled(problem: Problem, p: torch.Tensor, alpha: float, start: torch.Tensor) -> torch.Tensor:
    """w*(λ): the minimum of (L1 + α L2) / (1 + α) that is reached from `start`."""
    return minimiser(lambda w: problem.pulled(w, p, alpha), start)


def implicit(
    problem: Problem, p: torch.Tensor, u: torch.Tensor, tolerance: float = 1e-12, limit: int = 1000
) -> torch.Tensor:
    """dL1(u*(λ))/dλ by implicit differentiation at the minimum u, shape [sources].

    −∂/∂λ (v · ∇_w L2) with H v = ∇L1, H the Hessian of L2 with its ridge; `tolerance` and `limit` are those of `solve`.
    """
    v = solve(hessian(lambda w: problem.lower(w, p), u), gradient(problem.upper, u), tolerance, limit)
    return weight_gradient(p, -_mixed(problem, p, u, v)[1], 1.0)


def unrolled(
    problem: Problem, p: torch.Tensor, steps: list[int], rate: float, momentum: float
) -> dict[int, tuple[torch.Tensor, torch.Tensor]]:
    """{T: (w_T, dL1(w_T)/dλ)}: T steps of gradient descent with momentum on L2 from the base, differentiated through.

    w_t+1 = w_t − η ∇L2(w_t) + β (w_t − w_t−1). Reverse mode: with v_t = dL1/dw_t, v_T = ∇L1 and v_T+1 = 0,
    v_t = (1 + β − η H(w_t)) v_t+1 − β v_t+2, while −η ∂/∂p (v_t+1 · ∇L2(w_t)) adds up. Keeps every w_t in memory.
    """
    path = [problem.losses.base, problem.losses.base]
    for _ in range(max(steps)):
        slope = gradient(lambda w: problem.lower(w, p), path[-1])
        path.append(path[-1] - rate * slope + momentum * (path[-1] - path[-2]))
    path = path[1:]
    found = {}
    for count in steps:
        v, later, total = gradient(problem.upper, path[count]), torch.zeros_like(path[0]), torch.zeros_like(p)
        for w in reversed(path[:count]):
            curved, mixed = _mixed(problem, p, w, v)
            v, later = (1 + momentum) * v - rate * curved - momentum * later, v
            total = total - rate * mixed
        found[count] = (path[count], weight_gradient(p, total, 1.0))
    return found


def _mixed(problem: Problem, p: torch.Tensor, w: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """H v, shape [parameters], and v · ∇l_i, shape [sources]: both derivatives of v · ∇_w L2(λ, w)."""
    w, p = w.detach().requires_grad_(), p.detach().requires_grad_()
    slope = torch.autograd.grad(problem.lower(w, p), w, create_graph=True)[0]
    return torch.autograd.grad(slope @ v, (w, p))


def penalty(problem: Problem, p: torch.Tensor, alpha: float, u: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """ScaleBiO's λ gradient at the given u and w, as the loop computes it, shape [sources]."""
    return weight_gradient(p, problem.losses.losses(w)[0] - problem.losses.losses(u)[0], alpha)


def cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    """Cosine of the angle between two gradients."""
    return torch.nn.functional.cosine_similarity(one, other, dim=0).item()


def relative_error(found: torch.Tensor, exact: torch.Tensor) -> float:
    """‖found − exact‖ / ‖exact‖."""
    return ((found - exact).norm() / exact.norm()).item()
