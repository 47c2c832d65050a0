"""DoReMi (Xie et al. 2023, arXiv 2305.10429): weights that raise the sources on which a model still has the most to gain.

A reference model is trained from the base on the uniform mixture. A proxy, from the base too, is trained by group DRO: at
each step (Algorithm 1) the excess loss of every source, proxy over reference, clipped at zero for each token, moves the
weights by an exponentiated-gradient step, p ← p · exp(η excess), renormalised and mixed with a share c of the uniform;
then the proxy takes its step on Σ p_i l_i with these weights. The final weights are the mean over the steps.

It has no validation set. It asks for the smallest worst excess over all sources, so it does not aim at the reference set,
and a source that is easy to learn and useless gains weight like any other.

Where this differs from the paper: a source's excess and loss are means over its examples of each one's mean over response
tokens, where the paper divides the sum over all tokens of the batch's source by their number, so that a long answer counts as
much as a short one, as everywhere here. AdamW with a ramp and a cosine; every batch has `per_source` rows of each source
(the paper draws sources uniformly). The paper starts both models from random weights; from a base, excess begins at what
the reference has gained on it.
"""

from dataclasses import asdict

import numpy as np
import torch

from scalebio import checkpoints
from scalebio.batching import Packed, StratifiedDraws, check_rows
from scalebio.config_methods import DoReMi
from scalebio.errors import UserError
from scalebio.losses import ResponseLoss, evaluate, group_means
from scalebio.proxies import Proxy
from scalebio.streams import stream
from scalebio.weighting import Outcome, Problem, Spent, weight_rows


def update(weights: np.ndarray, excess: np.ndarray, step_size: float, smoothing: float) -> np.ndarray:
    """The weights [sources] after one exponentiated-gradient step on `excess` [sources], nats, and smoothing."""
    logits = np.log(weights) + step_size * excess
    moved = np.exp(logits - logits.max())
    return (1 - smoothing) * moved / moved.sum() + smoothing / len(weights)


class ClippedExcess(torch.nn.Module):
    """max(l_proxy − l_reference, 0) of each response token, averaged over those of an example; a loss for `evaluate`."""

    def __init__(self, proxy: ResponseLoss, reference: ResponseLoss):
        super().__init__()
        self.proxy, self.reference = proxy, reference

    def forward(self, batch: Packed, coefficients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Σ c_i e_i and e_i, the excess of each example, [examples]."""
        proxy, reference = (loss.by_token(batch, coefficients)[1] for loss in (self.proxy, self.reference))
        means = group_means((proxy - reference).clamp(min=0), batch.samples, batch.examples)
        return coefficients @ means, means


class Run:
    """`settings.steps` steps of the reference model, then as many of the proxy; `weights` is where they stand."""

    def __init__(self, problem: Problem, settings: DoReMi, seed: int):
        if problem.parallel.shard:
            raise UserError(
                "doremi compares two models token by token, which needs both whole: set `hardware.shard: false`, or take "
                "the method out of the experiment."
            )
        check_rows(problem.sources, problem.by_source, settings.per_source)
        self.problem, self.settings, self.count = problem, settings, len(problem.sources)
        base = problem.model
        recipe = (problem, settings.steps, settings.learning_rate, settings.ramp, seed)
        self.reference = Proxy("the reference model", problem.parallel.twin(base), *recipe)
        self.proxy = Proxy("the proxy model", base, *recipe)
        self.draws = {
            model: StratifiedDraws(problem.by_source, settings.per_source, stream(seed, f"doremi {model} batches"))
            for model in ("reference", "proxy")
        }
        self.excess = ClippedExcess(self.proxy.learner.loss, self.reference.learner.loss)
        self.uniform = np.full(self.count, 1 / self.count)
        self.weights, self.total = self.uniform, np.zeros(self.count)
        self.trajectory = weight_rows(0, problem.sources, self.weights)
        self.spent = Spent()
        self.done, self.steps = 0, 2 * settings.steps

    def step(self) -> tuple[str, int]:
        """One step of the model whose turn it is; what to report of it, and its tokens."""
        seen = self._train_reference() if self.reference.done < self.settings.steps else self._train_proxy()
        self.done += 1
        return seen

    def _coefficients(self, weights: np.ndarray) -> np.ndarray:
        return np.repeat(weights / self.settings.per_source, self.settings.per_source)

    def _train_reference(self) -> tuple[str, int]:
        examples = self.draws["reference"].next()
        losses = self.reference.step(examples, self._coefficients(self.uniform))
        tokens = sum(len(example.ids) for example in examples)
        self.spent.step(tokens)
        if self.reference.done == self.settings.steps:
            # It is only asked for losses from here on, so the memory of Adam's moments is free.
            self.reference.learner.optimizer.state.clear()
        return f"reference model  loss {losses.mean():.3f}", tokens

    def _train_proxy(self) -> tuple[str, int]:
        k, sources, settings, learner = self.proxy.done, self.problem.sources, self.settings, self.proxy.learner
        examples = self.draws["proxy"].next()
        # A pass of its own: the step below needs the new weights before it begins.
        by_example = evaluate(self.excess, examples, learner.collate, learner.parallel).numpy()
        excess = by_example.reshape(self.count, -1).mean(axis=1)
        self.weights = update(self.weights, excess, settings.step_size, settings.smoothing)
        self.proxy.step(examples, self._coefficients(self.weights))
        self.total = self.total + self.weights
        self.trajectory += [
            {"step": k, "source": source, "quantity": "excess", "value": float(value)}
            for source, value in zip(sources, excess, strict=True)
        ] + weight_rows(k + 1, sources, self.weights)
        tokens = sum(len(example.ids) for example in examples)
        self.spent.forward(2 * tokens)
        self.spent.step(tokens)
        top = int(self.weights.argmax())
        return f"excess {excess.max():.3f}  largest weight {sources[top]} {self.weights[top]:.3f}", 3 * tokens

    def state(self) -> tuple[dict[str, torch.Tensor], dict]:
        """Tensors and plain facts from which `load` goes on bit for bit."""
        tensors, facts = {}, {"done": self.done, "trajectory": self.trajectory, "spent": asdict(self.spent)}
        facts |= {"weights": self.weights.tolist(), "total": self.total.tolist()}
        for name, model in (("reference", self.reference), ("proxy", self.proxy)):
            held, facts[name] = model.state()
            tensors |= {f"{name}/{key}": tensor for key, tensor in held.items()}
            facts[f"{name} draws"] = self.draws[name].state()
        return tensors, facts

    def load(self, tensors: dict[str, torch.Tensor], facts: dict) -> None:
        """Take up a `state`."""
        self.done, self.trajectory, self.spent = facts["done"], facts["trajectory"], Spent(**facts["spent"])
        self.weights, self.total = np.array(facts["weights"]), np.array(facts["total"])
        for name, model in (("reference", self.reference), ("proxy", self.proxy)):
            start = f"{name}/"
            model.load({key.removeprefix(start): t for key, t in tensors.items() if key.startswith(start)}, facts[name])
            self.draws[name].load(facts[f"{name} draws"])


def learn(problem: Problem, settings: DoReMi, seed: int) -> Outcome:
    """Mean of the weights over the proxy's steps. Extra: `last`, the weights of its last step.

    Trains both models as LISA and `problem.parallel` say, on several processes too. Raises UserError if models are split
    over processes, or a source has fewer rows than `per_source`.
    """
    run = Run(problem, settings, seed)
    checkpoints.run(run, problem.checkpoints, lambda seen: problem.progress(run.done, run.steps, *seen))
    last = dict(zip(problem.sources, run.weights.tolist(), strict=True))
    return Outcome(run.total / settings.steps, run.trajectory, {"last": last}, run.spent)
