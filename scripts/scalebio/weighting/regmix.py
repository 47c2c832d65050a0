"""RegMix (Liu et al. 2024, arXiv 2407.01492): train on many random mixtures, predict the loss of others, take the best.

Each run is a copy of the base trained as the final model will be (`finetuning`, on rows drawn by `mixture`), on a mixture
from a Dirichlet distribution around the sources' shares of the rows; its mean validation loss is what is regressed on the
mixture. The paper's shares and weights are of tokens, because it packs tokens; here both are of rows. It proposes small
proxy models for a large one; here the proxy is the base itself, trained shortly. Its limits of 15 epochs of a source and
of a least share per run have no place here: rows repeat as in the final mixture.
"""

import numpy as np

from scalebio import checkpoints, finetuning, mixture
from scalebio import mixture_regression as regression
from scalebio.bilevel import prune
from scalebio.config_methods import RegMix
from scalebio.errors import UserError
from scalebio.streams import stream
from scalebio.weighting import Outcome, Problem, Spent


class Runs:
    """The training runs, one a step; `losses` are the validation losses so far, `spent` their tokens.

    All runs draw a source's rows in the same order and, under LISA, the same layers, so that they differ by the mixture.
    """

    def __init__(self, problem: Problem, settings: RegMix, seed: int, mixtures: np.ndarray):
        self.problem, self.settings, self.seed, self.mixtures = problem, settings, seed, mixtures
        self.losses: list[float] = []
        self.spent = Spent()

    @property
    def done(self) -> int:
        """Runs made."""
        return len(self.losses)

    @property
    def steps(self) -> int:
        """Runs to make."""
        return len(self.mixtures)

    def step(self) -> tuple[float, int]:
        """Train and evaluate one copy of the base; returns its validation loss and the tokens it took."""
        problem, settings, before = self.problem, self.settings, self.spent.forward_tokens
        weights = dict(zip(problem.sources, self.mixtures[self.done].tolist(), strict=True))
        by_source = dict(zip(problem.sources, problem.by_source, strict=True))
        available = {name: len(examples) for name, examples in by_source.items()}
        drawn = mixture.draw(weights, available, settings.steps * settings.batch, self.seed, {})
        job = finetuning.FineTuning(
            problem.parallel.twin(problem.model),
            [by_source[name][i] for name, rows in drawn.items() for i in rows],
            finetuning.Recipe(settings.steps, settings.batch, settings.learning_rate, settings.ramp),
            problem.row_length,
            stream(self.seed, "regmix order"),
            stream(self.seed, "regmix layers"),
            problem.layers,
            parallel=problem.parallel,
        )
        while job.done < job.steps:
            self.spent.step(job.step()["tokens"])
        loss = job.learner.evaluate(problem.validation).mean().item()
        self.spent.forward(sum(len(example.ids) for example in problem.validation))
        if not np.isfinite(loss):
            raise UserError(
                f"run {self.done}: the validation loss is not finite. Lower `learning_rate` (now {settings.learning_rate:g})."
            )
        self.losses.append(loss)
        return loss, self.spent.forward_tokens - before

    def state(self) -> tuple[dict, dict]:
        """Losses and tokens of the runs made; no tensors, since no model outlives its run."""
        return {}, {"losses": self.losses, "forward": self.spent.forward_tokens, "backward": self.spent.backward_tokens}

    def load(self, tensors: dict, facts: dict) -> None:
        """Take up a `state`."""
        self.losses, self.spent = facts["losses"], Spent(facts["forward"], facts["backward"])


def learn(problem: Problem, settings: RegMix, seed: int) -> Outcome:
    """Mean of the simulated mixtures predicted best, pruned if asked. Follows LISA and shares its runs over processes.

    The trajectory has a row `mixture` for each run and source and `validation_loss` for each run. Extra: `final` (unpruned);
    `rank_correlation` of predicted and true losses among runs left out of the fit, None with too few runs to say;
    `predicted_loss` of `final`, and `best_run_loss`, the least that a run reached.
    """
    shares = np.array([len(examples) for examples in problem.by_source], dtype=float)
    if not shares.all():
        names = [name for name, share in zip(problem.sources, shares, strict=True) if not share]
        raise UserError(f"Source {', '.join(names)} has no training rows; RegMix trains on each. Leave it out.")
    shares /= shares.sum()
    mixtures = regression.draw_mixtures(
        regression.temper(shares, settings.temperature),
        settings.runs,
        settings.lowest_strength,
        settings.highest_strength,
        stream(seed, "regmix runs"),
    )
    job = Runs(problem, settings, seed, mixtures)

    def report(seen: tuple[float, int]) -> None:
        loss, tokens = seen
        problem.progress(job.done, job.steps, f"validation loss {loss:.3f}, least {min(job.losses):.3f}", tokens)

    checkpoints.run(job, problem.checkpoints, report)
    losses = np.array(job.losses)
    fitted = regression.fit(mixtures, losses, settings.regressor, stream(seed, "regmix fit"))
    # As in the release: around the shares themselves, with strength 1.
    candidates = stream(seed, "regmix simulations").dirichlet(shares, settings.simulations)
    final = regression.best_mixture(fitted, candidates, settings.top)
    extra = {
        "final": dict(zip(problem.sources, final.tolist(), strict=True)),
        "rank_correlation": regression.held_out_correlation(
            mixtures, losses, settings.regressor, stream(seed, "regmix folds")
        ),
        "predicted_loss": float(fitted.predict(final[None])[0]),
        "best_run_loss": float(losses.min()),
    }
    return Outcome(prune(final, settings.prune_below), run_rows(problem.sources, mixtures, losses), extra, job.spent)


def run_rows(sources: list[str], mixtures: np.ndarray, losses: np.ndarray) -> list[dict]:
    """Rows {step, source, quantity, value}, step being the run: its mixture and its validation loss."""
    rows = []
    for run, (shares, loss) in enumerate(zip(mixtures, losses, strict=True)):
        for source, share in zip(sources, shares, strict=True):
            rows.append({"step": run, "source": source, "quantity": "mixture", "value": float(share)})
        rows.append({"step": run, "source": None, "quantity": "validation_loss", "value": float(loss)})
    return rows
