"""RegMix's regression: from mixtures and the losses of models trained on them to the mixture predicted best.

A regression is fitted on (mixture, validation loss) of some runs, many more mixtures are simulated, and those predicted
best are averaged. What such a choice is worth is told by its regret among mixtures whose losses are known: rank
correlation alone flatters (docs/measured.md). Source: Liu et al. 2024, arXiv 2407.01492; numbers as in its release.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import lightgbm
import numpy as np
from scipy.stats import spearmanr

# As in the release; the rest are LightGBM's defaults. The release stops early on its test set, here all rounds are made.
ROUNDS = 1000
LIGHTGBM = {"objective": "regression", "learning_rate": 1e-2, "verbosity": -1}
# One thread and one way to build histograms, so that a machine gives the same bits every time.
REPEATABLE = {"num_threads": 1, "deterministic": True, "force_col_wise": True}
# LightGBM's default `min_data_in_leaf`: with fewer than two leaves' worth of runs it predicts one number for everything.
LEAF = 20
FOLDS = 5
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3)
# The release draws the strength of each run's Dirichlet distribution from so many values.
STRENGTHS = 15


class Regression(Protocol):
    """A fitted regression."""

    def predict(self, mixtures: np.ndarray) -> np.ndarray:
        """Predicted losses [n] of mixtures [n, sources]."""


@dataclass(frozen=True)
class Ridge:
    """loss = intercept + mixture · slopes, with `penalty` · ‖slopes‖² in the fit."""

    intercept: float
    slopes: np.ndarray
    penalty: float

    def predict(self, mixtures: np.ndarray) -> np.ndarray:
        """Predicted losses [n] of mixtures [n, sources]."""
        return self.intercept + mixtures @ self.slopes


def fit(
    mixtures: np.ndarray, losses: np.ndarray, regressor: Literal["lightgbm", "ridge"], rng: np.random.Generator
) -> Regression:
    """The regression of `losses` [runs] on `mixtures` [runs, sources]; `rng` deals out folds and seeds LightGBM.

    LightGBM as in the paper: 1,000 rounds at a learning rate of .01. Ridge: least squares with the penalty of `PENALTIES`
    that does best in five-fold cross-validation; it needs five runs.
    """
    if regressor == "ridge":
        folds = deal(len(losses), rng)
        errors = [
            sum(
                np.square(_ridge(mixtures[~out], losses[~out], p).predict(mixtures[out]) - losses[out]).sum()
                for out in folds
            )
            for p in PENALTIES
        ]
        return _ridge(mixtures, losses, PENALTIES[int(np.argmin(errors))])
    settings = LIGHTGBM | REPEATABLE | {"seed": int(rng.integers(2**31))}
    return lightgbm.train(settings, lightgbm.Dataset(mixtures, losses), ROUNDS)


def _ridge(mixtures: np.ndarray, losses: np.ndarray, penalty: float) -> Ridge:
    # The intercept is not penalised.
    centre, level = mixtures.mean(0), losses.mean()
    rows = mixtures - centre
    slopes = np.linalg.solve(rows.T @ rows + penalty * np.eye(rows.shape[1]), rows.T @ (losses - level))
    return Ridge(float(level - centre @ slopes), slopes, penalty)


def deal(count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Five random parts of `count` runs, nearly equal: for each a mask [runs] of what is left out of the fit."""
    part = rng.permutation(count) % FOLDS
    return [part == fold for fold in range(FOLDS)]


def held_out_correlation(
    mixtures: np.ndarray, losses: np.ndarray, regressor: str, rng: np.random.Generator
) -> float | None:
    """Spearman correlation of true losses with those predicted by five fits that left them out (ours).

    None where a fit has too few runs to tell mixtures apart.
    """
    predicted = np.empty(len(losses))
    for out in deal(len(losses), rng):
        fitted = fit(mixtures[~out], losses[~out], regressor, rng)
        if np.ptp(fitted.predict(mixtures)) == 0:
            return None
        predicted[out] = fitted.predict(mixtures[out])
    return rank_correlation(predicted, losses)


def temper(shares: np.ndarray, temperature: float) -> np.ndarray:
    """Shares [sources] to the power `temperature`, summing to 1: at 1 as they are, towards 0 equal."""
    powered = (shares / shares.sum()) ** temperature
    return powered / powered.sum()


def draw_mixtures(
    shares: np.ndarray, count: int, lowest: float, highest: float, rng: np.random.Generator
) -> np.ndarray:
    """`count` mixtures [count, sources] from Dirichlet distributions with mean `shares` [sources].

    The parameters of each sum to a strength between `lowest` (nearly one source alone) and `highest` (nearer `shares`).
    """
    strengths = rng.choice(np.geomspace(lowest, highest, STRENGTHS), count)
    return np.stack([rng.dirichlet(strength * shares) for strength in strengths])


def best_mixture(regression: Regression, candidates: np.ndarray, top: int) -> np.ndarray:
    """The mean of the `top` candidates [n, sources] with the lowest predicted loss: shape [sources], summing to 1."""
    order = np.argsort(regression.predict(candidates), kind="stable")
    chosen = candidates[order[:top]].mean(0)
    return chosen / chosen.sum()


def rank_correlation(predicted: np.ndarray, losses: np.ndarray) -> float:
    """Spearman correlation of predicted and true losses, both [n]."""
    return float(spearmanr(predicted, losses).statistic)


def regret(predicted: np.ndarray, losses: np.ndarray) -> tuple[float, float]:
    """What choosing by prediction costs among mixtures of known `losses` [n], in their unit, and what chance costs.

    Loss of the one predicted best, and mean loss, each minus the least loss.
    """
    return float(losses[np.argmin(predicted)] - losses.min()), float(losses.mean() - losses.min())
