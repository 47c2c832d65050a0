"""RegMix's public tables: mixtures of 17 domains of the Pile, and losses of models of 1M, 60M and 1B parameters trained on them.

They try `mixture_regression` where the truth is known: fitted on 512 runs of 1M parameters, judged on mixtures that it has
not seen, at the same size and at larger ones. Tables: `data/` of github.com/sail-sg/regmix (MIT), not shipped here.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from scalebio import mixture_regression as regression
from scalebio.errors import UserError
from scalebio.streams import stream

SIZES = ("1m", "60m", "1B")
# What the paper regresses on: the loss on the domain Pile-CC.
TARGET = "metric/the_pile_pile_cc_val_loss"
DRAWS = 50


@dataclass(frozen=True)
class Table:
    """`mixtures` [runs, domains], rows summing to 1, and the `losses` [runs] of the models trained on them, in nats."""

    domains: tuple[str, ...]
    mixtures: np.ndarray
    losses: np.ndarray


def read(folder: str | Path, split: str, size: str) -> Table:
    """The table of `split` (train, test) and model `size` (1m, 60m, 1B).

    Raises UserError where a file is missing or the two files are not of the same runs.
    """
    paths = [Path(folder) / f"{split}_{what}_{size}.csv" for what in ("mixture", "pile_loss")]
    for path in paths:
        if not path.is_file():
            raise UserError(f"{path}: no such file. Fetch the folder `data` of github.com/sail-sg/regmix.")
    mixtures, losses = (pd.read_csv(path, index_col="index") for path in paths)
    if not mixtures.index.equals(losses.index):
        raise UserError(
            f"{paths[0]} and {paths[1]} are not of the same runs: column `index` differs. Fetch both again."
        )
    shares = mixtures.to_numpy()
    # They are rounded to three digits.
    shares = shares / shares.sum(1, keepdims=True)
    names = tuple(name.removeprefix("train_the_pile_") for name in mixtures)
    return Table(names, shares, losses[TARGET].to_numpy())


def judge(fitted: regression.Regression, table: Table) -> dict[str, float]:
    """Rank correlation, and regret of the mixture predicted best and of chance, in nats."""
    predicted = fitted.predict(table.mixtures)
    chosen, chance = regression.regret(predicted, table.losses)
    return {"correlation": regression.rank_correlation(predicted, table.losses), "regret": chosen, "chance": chance}


def measure(folder: str | Path, draws: int = DRAWS, seed: int = 0) -> pd.DataFrame:
    """A row for each regressor and size: `judge` of the fit, and 95 % of `draws` bootstrap fits over training mixtures."""
    training, held_out = read(folder, "train", "1m"), {size: read(folder, "test", size) for size in SIZES}
    rows = []
    for regressor in ("lightgbm", "ridge"):
        rng = stream(seed, "regmix tables", regressor)
        fits = [regression.fit(training.mixtures, training.losses, regressor, rng)]
        for _ in range(draws):
            again = rng.integers(len(training.losses), size=len(training.losses))
            fits.append(regression.fit(training.mixtures[again], training.losses[again], regressor, rng))
        for size, table in held_out.items():
            first, *others = (judge(fitted, table) for fitted in fits)
            row = {"regressor": regressor, "size": size, "mixtures": len(table.losses)} | first
            for quantity in ("correlation", "regret"):
                low, high = np.quantile([other[quantity] for other in others], (0.025, 0.975))
                row |= {f"{quantity}_low": low, f"{quantity}_high": high}
            rows.append(row)
    return pd.DataFrame(rows)
