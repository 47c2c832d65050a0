"""A bilevel problem whose every answer is known in closed form: least squares in each source and in validation.

l_i(w) = mean over the rows of source i of ½ (a·w − b)², and L1 the same on validation rows. All minima are linear
solves, so hypergradient, penalty gradient and the best λ can be held against what the loop and the references find.
The "model" is a stack of blocks, so that LISA draws blocks of it as it draws layers (ours; the issue of paper §2).
"""

from collections.abc import Callable

import numpy as np
import torch
from scipy.optimize import minimize, root

from scalebio.bilevel import weight_gradient
from scalebio.errors import UserError
from scalebio.streams import stream


class Block(torch.nn.Module):
    """A part of w, shape [size], from zero."""

    def __init__(self, size: int):
        super().__init__()
        self.part = torch.nn.Parameter(torch.zeros(size, dtype=torch.float64))


class Blocks(torch.nn.Module):
    """w as a stack of equal blocks, which LISA finds as it finds the layers of a language model."""

    def __init__(self, blocks: int, size: int):
        super().__init__()
        self.layers = torch.nn.ModuleList(Block(size) for _ in range(blocks))

    def vector(self) -> torch.Tensor:
        """w, shape [blocks · size]."""
        return torch.cat([block.part for block in self.layers])


class SquareLoss(torch.nn.Module):
    """½ (a·w − b)² of each example, in the form of ResponseLoss; a batch holds (a, b) in rows of dimension + 1."""

    def __init__(self, model: Blocks):
        super().__init__()
        self.model = model

    def forward(self, batch: torch.Tensor, coefficients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Σ c_i l_i, to be differentiated, and l_i, detached; both of shape [examples]."""
        losses = 0.5 * (batch[:, :-1] @ self.model.vector() - batch[:, -1]) ** 2
        return coefficients.to(losses.dtype) @ losses, losses.detach()


class Quadratic:
    """`sources` least-squares tasks of different solutions; validation wants a blend of them plus what none of them has.

    The blend has uneven shares, so that the best λ is inside the simplex; the rest keeps L1's gradient away from zero
    there, without which the penalty would have no error to measure.
    """

    def __init__(self, seed: int, sources: int = 3, blocks: int = 4, size: int = 3, rows: int = 24):
        rng = stream(seed, "quadratic problem")
        self.blocks, self.size, self.sources, self.rows = blocks, size, sources, rows
        dimension = blocks * size
        solutions = rng.normal(size=(sources, dimension))
        shares = np.arange(sources, 0, -1) / np.arange(1, sources + 1).sum()
        wanted = shares @ solutions + 0.2 * rng.normal(size=dimension)
        # Training rows are longer, that is, L2 is more curved than L1: else α = 1 lies far from the 1/α regime.
        self.by_source = [self._rows(rng, rows, solution, 2.0) for solution in solutions]
        self.validation = self._rows(rng, rows, wanted, 1.0)

    @staticmethod
    def _rows(rng: np.random.Generator, rows: int, solution: np.ndarray, scale: float) -> torch.Tensor:
        a = scale * rng.normal(size=(rows, len(solution)))
        b = a @ solution + 0.1 * rng.normal(size=rows)
        return torch.from_numpy(np.concatenate([a, b[:, None]], axis=1))

    @property
    def base(self) -> torch.Tensor:
        """Where u and w start: zero, shape [dimension]."""
        return torch.zeros(self.blocks * self.size, dtype=torch.float64)

    def model(self) -> Blocks:
        """A fresh model at the base."""
        return Blocks(self.blocks, self.size)

    def losses(self, w: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """l_i(w), shape [sources], and L1(w)."""
        return torch.stack([_loss(rows, w) for rows in self.by_source]), _loss(self.validation, w)

    def objective(self, w: torch.Tensor, weights: torch.Tensor, validation: float) -> torch.Tensor:
        """Σ weights_i l_i(w) + validation · L1(w)."""
        sources, held_out = self.losses(w)
        return weights @ sources + validation * held_out

    def minimiser(self, p: torch.Tensor, alpha: float | None = None) -> torch.Tensor:
        """u*(λ), or with `alpha` w*(λ), the minimiser of L1 + α L2; shape [dimension]."""
        tables = list(zip(p, self.by_source, strict=True))
        if alpha is not None:
            tables = [(alpha * share, rows) for share, rows in tables] + [(torch.ones(()).double(), self.validation)]
        curvature = sum(share * rows[:, :-1].T @ rows[:, :-1] / len(rows) for share, rows in tables)
        slope = sum(share * rows[:, :-1].T @ rows[:, -1] / len(rows) for share, rows in tables)
        return torch.linalg.solve(curvature, slope)

    def hypergradient(self, p: torch.Tensor) -> torch.Tensor:
        """dL1(u*(λ))/dλ in closed form, shape [sources]: −g₁ᵀ H⁻¹ ∇l_i, through the softmax."""
        u = self.minimiser(p)
        curvature = sum(s * r[:, :-1].T @ r[:, :-1] / len(r) for s, r in zip(p, self.by_source, strict=True))
        slopes = torch.stack([_slope(rows, u) for rows in self.by_source])
        return weight_gradient(p, -slopes @ torch.linalg.solve(curvature, _slope(self.validation, u)), 1.0)

    def penalty_gradient(self, p: torch.Tensor, alpha: float) -> torch.Tensor:
        """ScaleBiO's λ gradient with u and w at their exact minima, shape [sources]."""
        gap = self.losses(self.minimiser(p, alpha))[0] - self.losses(self.minimiser(p))[0]
        return weight_gradient(p, gap, alpha)

    def best(self, alpha: float | None = None) -> torch.Tensor:
        """The weights p* that minimise L1(u*(λ)); with `alpha` those that minimise the penalty problem's value.

        Shape [sources]. Raises UserError if the minimum is at the border of the simplex or not found.
        """

        def value(p: torch.Tensor) -> torch.Tensor:
            u = self.minimiser(p)
            if alpha is None:
                return self.losses(u)[1]
            w = self.minimiser(p, alpha)
            return self.objective(w, alpha * p, 1.0) - alpha * p @ self.losses(u)[0]

        gradient = self.hypergradient if alpha is None else lambda p: self.penalty_gradient(p, alpha)
        p = _minimise(value, gradient, self.sources)
        if gradient(p).abs().max() > 1e-12 or p.min() < 0.02:
            raise UserError(f"The best weights {p.tolist()} are not inside the simplex; take another seed.")
        return p


def _loss(rows: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    return 0.5 * ((rows[:, :-1] @ w - rows[:, -1]) ** 2).mean()


def _slope(rows: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    return rows[:, :-1].T @ (rows[:, :-1] @ w - rows[:, -1]) / len(rows)


def _minimise(value: Callable, gradient: Callable, count: int) -> torch.Tensor:
    """The p that minimises value(p), sought in logits whose last one is 0; a root of the gradient to full precision."""

    def weights(logits: np.ndarray) -> torch.Tensor:
        return torch.softmax(torch.from_numpy(np.append(logits, 0.0)), 0)

    def slope(logits: np.ndarray) -> np.ndarray:
        return gradient(weights(logits)).numpy()[:-1]

    start = minimize(lambda logits: value(weights(logits)).item(), np.zeros(count - 1), jac=slope, method="BFGS").x
    return weights(root(slope, start, tol=1e-15).x)
