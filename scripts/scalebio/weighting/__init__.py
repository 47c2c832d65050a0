"""Ways to choose the sources' weights: one file per method, one signature, pool in and weights out.

A method is a function `learn(problem, settings, seed) -> Outcome`; it knows neither Snakemake nor paths.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from scalebio.config_methods import WARM_STARTED
from scalebio.errors import UserError
from scalebio.streams import stream


@dataclass
class Problem:
    """What every method may use. Model and examples are loaded on first use, since not every method needs them.

    `sources`: names in a fixed order; `by_source`: encoded training examples per
    source; `validation`: encoded validation examples; `row_length`: tokens;
    `sizes`: rows of each source in the whole pool, of which `by_source` may hold only the first `pool_rows`;
    `expected`: planted shares by source, given to the oracle alone; `start`: shares by source to start from, if not equal ones;
    `bootstrap`: a seed by which validation examples are drawn again, with replacement and as many, so that runs with different
    seeds show what the choice of validation rows does to the weights; left out, `parallel` is this process alone and
    `checkpoints` keeps none. What trains: the adapters of a model that is loaded with some (`lora.trainable`), else the
    layers that LISA draws by `layers`, else all.
    """

    sources: list[str]
    load_model: Callable[[], object]
    load_by_source: Callable[[], list]
    load_validation: Callable[[], list]
    row_length: int
    layers: object | None = None
    sizes: list[int] | None = None
    expected: dict[str, float] | None = None
    start: dict[str, float] | None = None
    bootstrap: int | None = None
    load_parallel: Callable[[], object] | None = None
    load_checkpoints: Callable[[object], object] | None = None
    progress: Callable[..., None] = lambda done, total, text, tokens=0: None

    @cached_property
    def model(self):
        """The base model, on the CPU, with adapters where the study says that these train."""
        return self.load_model()

    @cached_property
    def parallel(self):
        """The processes that a method which trains runs on."""
        from scalebio.parallel import Parallel

        return self.load_parallel() if self.load_parallel else Parallel()

    @cached_property
    def checkpoints(self):
        """Where a method which trains keeps its checkpoints."""
        from scalebio.checkpoints import Checkpoints

        return self.load_checkpoints(self.parallel) if self.load_checkpoints else Checkpoints(None, {}, self.parallel)

    @cached_property
    def by_source(self) -> list:
        """Encoded training examples, one list per source."""
        return self.load_by_source()

    @cached_property
    def validation(self) -> list:
        """Encoded validation examples, drawn again where `bootstrap` is set."""
        examples = self.load_validation()
        if self.bootstrap is None:
            return examples
        drawn = stream(self.bootstrap, "validation bootstrap").integers(len(examples), size=len(examples))
        return [examples[i] for i in drawn]


@dataclass
class Spent:
    """What a method costs, the same on every machine: tokens that went forward and backward through a model (ours).

    An optimiser step on n tokens counts n in both; a loss that is only looked at counts n in `forward_tokens`. Seconds
    and memory are measured by the job's benchmark file.
    """

    forward_tokens: int = 0
    backward_tokens: int = 0

    def forward(self, tokens: int) -> None:
        """Count a pass without gradients."""
        self.forward_tokens += tokens

    def step(self, tokens: int) -> None:
        """Count a forward and a backward pass."""
        self.forward_tokens += tokens
        self.backward_tokens += tokens


@dataclass
class Outcome:
    """Weights [sources] summing to 1, and what led to them.

    `trajectory`: rows {step, source or None, quantity, value}; `extra`: further vectors and numbers for weights.json;
    `spent`: all that the method did to reach them, its reference and proxy models included, but no check afterwards.
    `row_scores`: one score per row of `problem.by_source`, per source in order; higher is better, NaN where a row was not
    looked at; None: rows are drawn at random within a source.
    """

    weights: np.ndarray
    trajectory: list[dict] = field(default_factory=list)
    extra: dict = field(default_factory=dict)
    spent: Spent = field(default_factory=Spent)
    row_scores: list[np.ndarray] | None = None


def weight_rows(step: int, sources: list[str], weights) -> list[dict]:
    """One row {step, source, quantity, value} for each source's weight."""
    return [
        {"step": step, "source": source, "quantity": "weight", "value": float(weight)}
        for source, weight in zip(sources, weights, strict=True)
    ]


def need_one_process(problem: Problem, kind: str) -> None:
    """Raise UserError if there are several processes, or a model split over them, and method `kind` cannot share."""
    if problem.parallel.world > 1 or problem.parallel.shard:
        raise UserError(
            f"The method `{kind}` runs on one process that holds the whole model; `hardware` of this model asks for "
            f"{problem.parallel.world} processes, shard: {problem.parallel.shard}. Set `nodes: 1`, `processes: 1` (and "
            "`gpus` to 0 or 1) and `shard: false`, or take another method."
        )


def learn(problem: Problem, settings, seed: int) -> Outcome:
    """Run the method that `settings.kind` names. Raises UserError if it is to start from given weights and cannot."""
    if problem.start and settings.kind not in WARM_STARTED:
        raise UserError(
            f"The method `{settings.kind}` cannot start from weights learned before; of all methods {', '.join(WARM_STARTED)} can. "
            "Leave `start_from` out of the experiment, or this method out of its methods."
        )
    # Imported here because a method may need torch, and spelled out so that `dependencies` sees every file.
    match settings.kind:
        case "uniform":
            from scalebio.weighting import uniform as method
        case "size_proportional":
            from scalebio.weighting import size_proportional as method
        case "oracle":
            from scalebio.weighting import oracle as method
        case "given":
            from scalebio.weighting import given as method
        case "scalebio":
            from scalebio.weighting import scalebio as method
        case "gradient_matching":
            from scalebio.weighting import gradient_matching as method
        case "gradient_alignment":
            from scalebio.weighting import gradient_alignment as method
        case "less":
            from scalebio.weighting import less as method
        case "regmix":
            from scalebio.weighting import regmix as method
        case "exact_bilevel":
            from scalebio.weighting import exact_bilevel as method
        case "rho_loss":
            from scalebio.weighting import rho_loss as method
        case "doremi":
            from scalebio.weighting import doremi as method
    return method.learn(problem, settings, seed)
