"""RHO-LOSS (Mindermann et al. 2022, arXiv 2206.07137): train on rows whose loss is high but need not be.

A reference model, the base fine-tuned on the validation set, says how low the loss of a training row gets by learning what
is wanted: its *irreducible* loss. A current model starts at the base and trains online, as Algorithm 1 has it: at each step
a large batch is drawn, the `keep` share of it with the highest reducible loss (current loss − irreducible loss, Eq. 3) is
selected, and the model takes an AdamW step on the mean loss of the selected rows. Losses are means over response tokens.

The paper's current model is its final one. Here the final model is trained afresh on a drawn mixture, so what the run
selected has to become one: a source's weight is its share of all rows selected over the run, the way in which the paper
reports what kinds of rows its method selects. Ours, besides: a large batch has `per_source` rows of *every* source, where
the paper draws from all rows together, so that a source's size plays no part; and the reference model is as large as the
base.

Where it fails: the score measures what the reference model has learnt, not why. A noisy source in the style of the
validation set (answers swapped, say) becomes cheaper by style alone, and its rows can score above learnable ones; a few
validation rows, learnt by heart, make every other row look irreducible; and a source that the base masters already scores
near zero, however much of it the validation set needs.
"""

from dataclasses import asdict

import numpy as np
import torch

from scalebio import checkpoints
from scalebio.batching import StratifiedDraws, check_rows
from scalebio.config_methods import RhoLoss
from scalebio.errors import UserError
from scalebio.finetuning import FineTuning, Recipe
from scalebio.proxies import Proxy
from scalebio.streams import stream
from scalebio.weighting import Outcome, Problem, Spent, weight_rows


class Run:
    """The reference model's steps, then the current model's; the arrays named below have one number per training row.

    `rows`: all training rows, source by source; `source`: the source's number; `irreducible`: nats, once the reference
    model is done, which is then let go; `reducible` and `visits`: sum over the large batches that a row was in, and their
    number. `selected` [sources] counts rows trained on.
    """

    def __init__(self, problem: Problem, settings: RhoLoss, seed: int):
        self.problem, self.settings = problem, settings
        by_source, validation = problem.by_source, problem.validation
        check_rows(problem.sources, by_source, settings.per_source, validation)
        sizes = [len(examples) for examples in by_source]
        self.rows = [example for examples in by_source for example in examples]
        self.source = np.repeat(np.arange(len(sizes)), sizes)
        self.irreducible: np.ndarray | None = None
        self.reducible, self.visits = np.zeros(len(self.rows)), np.zeros(len(self.rows))
        self.selected = np.zeros(len(sizes), dtype=np.int64)
        self.trajectory = weight_rows(0, problem.sources, np.full(len(sizes), 1 / len(sizes)))
        self.spent = Spent()
        base = problem.model
        twin = problem.parallel.twin(base)
        self.reference: FineTuning | None = FineTuning(
            twin,
            validation,
            Recipe(settings.reference_steps, settings.reference_batch, settings.reference_learning_rate, settings.ramp),
            problem.row_length,
            order=stream(seed, "rho reference order"),
            layer_rng=stream(seed, "rho reference lisa layers"),
            layers=problem.layers,
            parallel=problem.parallel,
        )
        self.current = Proxy(
            "the current model", base, problem, settings.steps, settings.learning_rate, settings.ramp, seed
        )
        places = np.split(np.arange(len(self.rows)), np.cumsum(sizes)[:-1])
        self.draws = StratifiedDraws(places, settings.per_source, stream(seed, "rho large batches"))
        self.done, self.steps = 0, settings.reference_steps + settings.steps

    def step(self) -> tuple[str, int]:
        """One step of the model whose turn it is; what to report of it, and its tokens."""
        seen = self._learn_what_is_wanted() if self.irreducible is None else self._select_and_train()
        self.done += 1
        return seen

    def _learn_what_is_wanted(self) -> tuple[str, int]:
        seen = self.reference.step()
        self.spent.step(seen["tokens"])
        if self.reference.done == self.reference.steps:
            self.irreducible = self.reference.learner.evaluate(self.rows).numpy()
            self.spent.forward(_tokens(self.rows))
            self.reference = None
        return f"reference model  loss {seen['loss']:.3f}", seen["tokens"]

    def _select_and_train(self) -> tuple[str, int]:
        k, sources = self.current.done, self.problem.sources
        drawn = np.array(self.draws.next())
        reducible = self.current.learner.evaluate([self.rows[i] for i in drawn]).numpy() - self.irreducible[drawn]
        if not np.isfinite(reducible).all():
            bad = self.rows[drawn[~np.isfinite(reducible)][0]]
            raise UserError(
                f"step {k}: the loss of {bad.name or 'a row'} is not finite under the current or the reference model. "
                "Nothing was written. Mend the row, or lower `learning_rate` or `reference_learning_rate`."
            )
        np.add.at(self.reducible, drawn, reducible)
        np.add.at(self.visits, drawn, 1)
        # Stable: of equal scores the first drawn, on every machine.
        best = np.argsort(-reducible, kind="stable")[: max(1, round(self.settings.keep * len(drawn)))]
        chosen = [self.rows[i] for i in drawn[best]]
        self.current.step(chosen, np.full(len(chosen), 1 / len(chosen)))
        self.selected += np.bincount(self.source[drawn[best]], minlength=len(sources))
        means = reducible.reshape(len(sources), -1).mean(axis=1)
        self.trajectory += [
            {"step": k, "source": source, "quantity": "reducible", "value": float(mean)}
            for source, mean in zip(sources, means, strict=True)
        ] + weight_rows(k + 1, sources, self.weights)
        large, small = _tokens([self.rows[i] for i in drawn]), _tokens(chosen)
        self.spent.forward(large)
        self.spent.step(small)
        top = int(self.weights.argmax())
        return f"reducible loss {reducible[best].mean():+.3f}  {sources[top]} {self.weights[top]:.3f}", large + small

    @property
    def weights(self) -> np.ndarray:
        """Share of each source in the rows trained on so far, [sources]."""
        return self.selected / self.selected.sum()

    @property
    def scores(self) -> list[np.ndarray]:
        """Mean reducible loss of each row over the large batches it was in, by source; NaN for a row that was in none."""
        mean = np.divide(self.reducible, self.visits, out=np.full(len(self.rows), np.nan), where=self.visits > 0)
        return [mean[self.source == i] for i in range(len(self.problem.sources))]

    def state(self) -> tuple[dict[str, torch.Tensor], dict]:
        """Tensors and plain facts from which `load` goes on bit for bit."""
        tensors, current = self.current.state()
        tensors |= {"reducible": torch.from_numpy(self.reducible), "visits": torch.from_numpy(self.visits)}
        facts = {"done": self.done, "current": current, "draws": self.draws.state(), "spent": asdict(self.spent)}
        facts |= {"selected": self.selected.tolist(), "trajectory": self.trajectory}
        if self.reference:
            held, facts["reference"] = self.reference.state()
            tensors |= {f"reference/{name}": tensor for name, tensor in held.items()}
        else:
            tensors["irreducible"] = torch.from_numpy(self.irreducible)
        return tensors, facts

    def load(self, tensors: dict[str, torch.Tensor], facts: dict) -> None:
        """Take up a `state`."""
        self.done, self.trajectory, self.spent = facts["done"], facts["trajectory"], Spent(**facts["spent"])
        self.selected = np.array(facts["selected"])
        self.reducible, self.visits = tensors["reducible"].numpy(), tensors["visits"].numpy()
        self.current.load(tensors, facts["current"])
        self.draws.load(facts["draws"])
        if "reference" in facts:
            start = "reference/"
            held = {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
            self.reference.load(held, facts["reference"])
        else:
            self.reference, self.irreducible = None, tensors["irreducible"].numpy()


def _tokens(examples: list) -> int:
    return sum(len(example.ids) for example in examples)


def learn(problem: Problem, settings: RhoLoss, seed: int) -> Outcome:
    """Each source's share of the rows that the run trained on; with `select: rows` also a score for every row it looked at.

    A row's score is its reducible loss, averaged over the large batches that it was in (ours): scores at the base would
    leave out what training changes, and at the end of the run what it has learnt would score near zero. So that every
    row is looked at, `steps` × `per_source` must reach the rows of the largest source. Trains both models as LISA and
    `problem.parallel` say. Raises UserError if a source has fewer rows than `per_source`, or a loss is not finite.
    """
    run = Run(problem, settings, seed)
    checkpoints.run(run, problem.checkpoints, lambda seen: problem.progress(run.done, run.steps, *seen))
    scores = run.scores if settings.select == "rows" else None
    return Outcome(run.weights, run.trajectory, spent=run.spent, row_scores=scores)
