"""LESS: rows are good whose step of Adam, on low-rank adapters, goes along the validation gradient.

Xia et al. 2024, arXiv 2402.04333:

1. warm-up: adapters on the base are trained with Adam on a random share of all rows, for some epochs;
2. after each epoch i, every row z has a direction Γ(z), the step that Adam would take next on z alone, from the moments it
   has then (section 3.1), and the validation set has its mean gradient v;
3. z's score is the mean over i of cos(Γ_i(z), v_i), weighted by the epoch's mean learning rate (definition 3.1);
4. the best rows are selected. As weights: each source's share of them.

As in the paper: adapters on all maps of attention, everything else frozen, gradients of single rows (many in one pass, with
the same result, `row_gradients`). Choices made here:
the validation set is one task, so nothing is left of the maximum over subtasks; gradients are projected only if asked, which
the paper does to keep them on disk for tasks to come (section 4.2); no dropout in adapters; and the learning rate falls by a
cosine, not a line. Unlike in the authors' release, moments are corrected for their bias and validation gradients are
averaged before the cosine, not after, both as in the paper. LISA plays no part: only adapters train.
"""

import functools

import numpy as np
import torch
from torch.nn.functional import normalize

from scalebio import lora, schedules
from scalebio.batching import Cycle, pack
from scalebio.chat import Example
from scalebio.config import Lora
from scalebio.config_methods import Less
from scalebio.learner import Learner
from scalebio.random_projection import RandomProjection
from scalebio.row_gradients import row_gradients
from scalebio.source_gradients import flat_gradient
from scalebio.streams import stream
from scalebio.weighting import Outcome, Problem, Spent, need_one_process

# Rows whose directions are held at once: as many as a projection has use for, and no more than this many numbers.
CHUNK_ROWS, CHUNK_NUMBERS = 256, 2**26


class Warmed:
    """Adapters in training, in a model that holds them, and what their gradients say about rows."""

    def __init__(self, problem: Problem, settings: Less, seed: int):
        self.parameters = list(lora.trainable(problem.model).values())
        self.row_length, self.parallel, self.spent = problem.row_length, problem.parallel, Spent()
        collate = functools.partial(pack, row_length=problem.row_length)
        self.learner = Learner("the adapters", problem.model, collate, problem.parallel)
        self.project = (
            RandomProjection(settings.projection, seed, "less projection") if settings.projection else lambda x: x
        )

    def step(self, examples: list[Example], rate: float, when: str) -> float:
        """One AdamW step on the mean loss of `examples`; returns that loss. Raises UserError as `Learner.step`."""
        mean = torch.full((len(examples),), 1 / len(examples), dtype=torch.float64)
        loss = float(self.learner.step(examples, mean, rate, when=when) @ mean)
        self.spent.step(sum(len(example.ids) for example in examples))
        return loss

    def gradient(self, examples: list[Example]) -> torch.Tensor:
        """Gradient of the mean loss of `examples` in the adapters, flat."""
        self.spent.step(sum(len(example.ids) for example in examples))
        return flat_gradient(self.learner.loss, examples, self.parameters, self.row_length)

    def directions(self, examples: list[Example]) -> torch.Tensor:
        """Γ of each example, [examples, adapters' elements]: Adam's next step on it alone, without learning rate and sign."""
        group, states = self.learner.optimizer.param_groups[0], self.learner.optimizer.state
        (beta1, beta2), steps = group["betas"], float(states[self.parameters[0]]["step"]) + 1
        first, second = (
            torch.cat([states[parameter][key].flatten() for parameter in self.parameters])
            for key in ("exp_avg", "exp_avg_sq")
        )
        self.spent.step(sum(len(example.ids) for example in examples))
        gradients = row_gradients(self.learner.loss, examples, self.parameters, self.row_length, self.parallel)
        mean = (beta1 * first + (1 - beta1) * gradients) / (1 - beta1**steps)
        square = (beta2 * second + (1 - beta2) * gradients.square()) / (1 - beta2**steps)
        return mean / (square.sqrt() + group["eps"])

    def cosines(self, examples: list[Example], validation: list[Example], on_rows=lambda count: None) -> np.ndarray:
        """cos(Γ(z), v) of each example z with the mean gradient v of `validation`, by their projections: [examples]."""
        target = sum(self.gradient(part) * (len(part) / len(validation)) for part in _parts(validation, CHUNK_ROWS))
        target = normalize(self.project(target[None]))[0]
        found, size = [], max(1, min(CHUNK_ROWS, CHUNK_NUMBERS // sum(p.numel() for p in self.parameters)))
        for part in _parts(examples, size):
            found.append(normalize(self.project(self.directions(part))) @ target)
            on_rows(len(part))
        return torch.cat(found).double().cpu().numpy()


def _parts(examples: list[Example], size: int) -> list[list[Example]]:
    return [examples[i : i + size] for i in range(0, len(examples), size)]


def influence(problem: Problem, settings: Less, seed: int) -> tuple[np.ndarray, Spent]:
    """The score of every row, source after source, in [−1, 1]; and what it cost.

    The base is left with its own parameters, rewired as `ResponseLoss` leaves every model.
    """
    rows = [example for examples in problem.by_source for example in examples]
    chosen = stream(seed, "less warm-up rows").permutation(len(rows))[: max(1, round(settings.share * len(rows)))]
    batch = min(settings.batch, len(chosen))
    per_epoch = len(chosen) // batch
    steps = settings.epochs * per_epoch
    ramp, cycle = round(settings.ramp_fraction * steps), Cycle(len(chosen), stream(seed, "less warm-up batches"))
    model = problem.model.to(problem.parallel.device)
    scores, total, done, reported = np.zeros(len(rows)), 0.0, 0, 0

    def report(count: int, text: str) -> None:
        nonlocal done, reported
        done, tokens = done + count, warmed.spent.forward_tokens - reported
        reported += tokens
        problem.progress(done, steps + settings.epochs * len(rows), text, tokens)

    # Its own adapters, also where the study has others for training.
    lora.remove(model)
    lora.attach(model, Lora(rank=settings.rank, alpha=settings.alpha, target="attention"), seed)
    try:
        warmed = Warmed(problem, settings, seed)
        for epoch in range(settings.epochs):
            rates = []
            for k in range(epoch * per_epoch, (epoch + 1) * per_epoch):
                rates.append(settings.learning_rate * schedules.ramp_cosine(k, steps, ramp))
                examples = [rows[chosen[i]] for i in cycle.take(batch)]
                loss = warmed.step(examples, rates[-1], f"step {k} of the warm-up")
                report(1, f"warm-up, loss {loss:.3f}")
            rate, scored = float(np.mean(rates)), f"rows scored after epoch {epoch + 1} of {settings.epochs}"
            scores += rate * warmed.cosines(rows, problem.validation, lambda count, text=scored: report(count, text))
            total += rate
    finally:
        lora.remove(model)
    return scores / total, warmed.spent


def learn(problem: Problem, settings: Less, seed: int) -> Outcome:
    """Each source's share of the best `keep` of all rows, so that a source with more rows can have more.

    With `select: rows` the rows' scores too. Extra: `mean_scores` (mean cosine of each source's rows), `selected`
    (how many of its rows are among the best).
    """
    need_one_process(problem, settings.kind)
    scores, spent = influence(problem, settings, seed)
    by_source = np.split(scores, np.cumsum([len(examples) for examples in problem.by_source])[:-1])
    best = np.argsort(-scores, kind="stable")[: max(1, round(settings.keep * len(scores)))]
    source_of = np.repeat(np.arange(len(problem.sources)), [len(examples) for examples in problem.by_source])
    selected = np.bincount(source_of[best], minlength=len(problem.sources))
    means = [float(part.mean()) for part in by_source]
    return Outcome(
        selected / selected.sum(),
        extra={
            "mean_scores": dict(zip(problem.sources, means, strict=True)),
            "selected": dict(zip(problem.sources, selected.tolist(), strict=True)),
        },
        spent=spent,
        row_scores=by_source if settings.select == "rows" else None,
    )
