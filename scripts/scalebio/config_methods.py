"""The part of a study file that says how weights are chosen: one class a method, told apart by its `kind`."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, ValidationError, model_validator

from scalebio import semantics
from scalebio.schema import Count, Name, Share, Strict

WARM_STARTED = ("scalebio",)
"""Kinds of methods that can start from weights learned before (`start_from` of an experiment)."""


class Fixed(Strict):
    """A method that learns nothing: it loads no model, and its job asks for no GPU."""


class Uniform(Fixed):
    """Every source counts the same."""

    kind: Literal["uniform"]


class SizeProportional(Fixed):
    """Every source counts by its rows in the pool, as if all were trained on together; `pool_rows` plays no part."""

    kind: Literal["size_proportional"]


class Oracle(Fixed):
    """The planted truth, `expected` of the experiment: what a method could reach at best, where it is known."""

    kind: Literal["oracle"]


class Given(Fixed):
    """Shares written down by hand: the mixture in use today, say, to hold a learned one against."""

    kind: Literal["given"]
    weights: dict[Name, Share] = Field(
        min_length=1, description="source → its share; they sum to 1, and a source that is left out gets none"
    )


class ScaleBiO(Strict):
    """The first-order bilevel method of the paper: models u and w, weights λ."""

    kind: Literal["scalebio"]
    semantics: Literal["scalebio", "official_acl", "official_v1"] = Field(
        "scalebio", description="ours, or what one of the authors' releases computes (docs/method.md)"
    )
    differences: dict[str, bool | float | str] = Field(
        {}, description="single points in which to differ from `semantics`, by the names of `scalebio/semantics.py`"
    )
    steps: PositiveInt = Field(description="outer steps; one update of u, w and λ each")
    alpha: PositiveFloat = Field(10.0, description="penalty on w's excess training loss")
    learning_rate: PositiveFloat = Field(description="peak AdamW learning rate of u and w")
    weight_learning_rate: PositiveFloat = Field(0.05, description="peak Adam learning rate of λ")
    weight_beta2: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.999,
        description="how long λ's Adam remembers the size of gradients; shorter lets shares move on that have swung too far",
    )
    per_source: PositiveInt = Field(6, description="training examples per source and step, the same for u and w")
    validation_batch: PositiveInt = Field(18, description="validation examples per step")
    ramp: Count = Field(20, description="steps over which the learning rates of u, w and λ rise")
    resync_every: PositiveInt | None = Field(
        None, description="copy u and its Adam state into w every so many steps; set it where a proportion is expected"
    )
    double_sampling: bool = Field(
        False,
        description="take what w gives up of L2 for L1 from other training rows than u's; set it with `resync_every`",
    )
    prune_below: Share = Field(0.0, description="final weights below this become 0; both vectors are kept")
    check_steps: Count = Field(
        60, description="steps from the base to check the final weights by gradient matching; 0: no check"
    )

    @model_validator(mode="after")
    def _differences_exist(self):
        try:
            semantics.resolve(self.semantics, self.differences)
        except ValidationError as error:
            faults = "; ".join(f"`{fault['loc'][0]}`: {fault['msg']}" for fault in error.errors())
            known = ", ".join(semantics.Semantics.model_fields)
            raise ValueError(f"differences: {faults} (points there are: {known})") from error
        if self.double_sampling and not semantics.resolve(self.semantics, self.differences).normalised_step:
            raise ValueError(
                "`double_sampling` is for w's step as we take it: leave `semantics` and `normalised_step` out"
            )
        return self


class GradientMatching(Strict):
    """Weights whose training gradient matches the validation gradient, by a quadratic programme at one model (ours).

    A second opinion for small models: it needs two passes per source and step, and keeps one gradient per source.
    """

    kind: Literal["gradient_matching"]
    steps: PositiveInt = Field(description="optimiser steps of the model, which trains on the weights found so far")
    learning_rate: PositiveFloat = Field(description="peak AdamW learning rate")
    per_source: Annotated[int, Field(ge=2)] = Field(6, description="training examples per source and step, at least 2")
    validation_batch: PositiveInt = Field(18, description="validation examples per step")
    ramp: Count = Field(20, description="steps over which the learning rate rises; weights stay equal until then")
    memory: PositiveInt = Field(50, description="steps over which the products of gradients are averaged")
    prune_below: Share = Field(0.0, description="final weights below this become 0; both vectors are kept")


class GradientAlignment(Strict):
    """DoGE: a source gains weight while its gradient points where the validation gradient points (arXiv 2310.15393)."""

    kind: Literal["gradient_alignment"]
    steps: PositiveInt = Field(description="optimiser steps of the proxy model, one update of the weights each")
    learning_rate: PositiveFloat = Field(description="peak AdamW learning rate η of the proxy model")
    per_source: PositiveInt = Field(6, description="training examples per source and step")
    validation_batch: PositiveInt = Field(18, description="validation examples per step")
    ramp: Count = Field(20, description="steps over which the learning rate rises")
    mu: PositiveFloat = Field(
        0.05,
        description="regularisation μ: weights are multiplied by exp(η W / μ), W the inner product of gradients. The "
        "default is the authors', for 10,000 steps; a short run needs a smaller one to move at all",
    )
    prune_below: Share = Field(0.0, description="final weights below this become 0; both vectors are kept")


class Less(Strict):
    """LESS: rows whose Adam step on adapters (LoRA) goes along the validation gradient (arXiv 2402.04333)."""

    kind: Literal["less"]
    select: Literal["source", "rows"] = Field(
        "source",
        description="`source`: weights, each source's share of the best rows; rows are then drawn at random within a "
        "source. `rows`: the best rows themselves",
    )
    keep: Annotated[float, Field(gt=0, le=1)] = Field(0.05, description="share of all rows that are the best ones")
    share: Annotated[float, Field(gt=0, le=1)] = Field(0.05, description="share of all rows that the warm-up trains on")
    epochs: PositiveInt = Field(4, description="passes of the warm-up over them; rows are scored after each")
    batch: PositiveInt = Field(description="examples per optimiser step of the warm-up")
    learning_rate: PositiveFloat = Field(description="peak AdamW learning rate of the warm-up; the authors' is 2e-5")
    ramp_fraction: Share = Field(0.03, description="share of the warm-up's steps over which the learning rate rises")
    rank: PositiveInt = Field(128, description="rank of the adapters on the maps of attention")
    alpha: PositiveFloat = Field(512.0, description="their scale: adapters count alpha / rank times")
    projection: PositiveInt | None = Field(
        None,
        description="dimensions to which gradients are projected at random, the authors' being 8192; unset: gradients are "
        "compared whole, which is exact, and cheaper where there is one validation set",
    )


class RegMix(Strict):
    """RegMix: a regression of the validation loss on the mixture, fitted on runs on random mixtures (arXiv 2407.01492).

    Every run trains a copy of the base from the start, so the cost is runs × steps; a linear regression (`ridge`) always
    ends at one source, or near it.
    """

    kind: Literal["regmix"]
    runs: Annotated[int, Field(ge=5)] = Field(
        description="mixtures to train on (paper: 512); at least 40 for `lightgbm`, whose leaves hold 20"
    )
    steps: PositiveInt = Field(description="optimiser steps of each run")
    batch: PositiveInt = Field(18, description="training examples per step")
    learning_rate: PositiveFloat = Field(description="peak AdamW learning rate of each run")
    ramp: Count = Field(20, description="steps over which the learning rate rises")
    regressor: Literal["lightgbm", "ridge"] = Field("lightgbm", description="what predicts the loss of a mixture")
    temperature: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5, description="power of the sources' shares around which mixtures are drawn; towards 0 they become equal"
    )
    lowest_strength: PositiveFloat = Field(
        0.1, description="least sum of the Dirichlet distribution's parameters: mixtures are nearly one source alone"
    )
    highest_strength: PositiveFloat = Field(5.0, description="largest such sum: mixtures are nearer the shares")
    simulations: PositiveInt = Field(100_000, description="mixtures whose loss is predicted")
    top: PositiveInt = Field(128, description="how many of those predicted best are averaged")
    prune_below: Share = Field(0.0, description="final weights below this become 0; both vectors are kept")

    @model_validator(mode="after")
    def _numbers_fit(self):
        if self.regressor == "lightgbm" and self.runs < 40:
            raise ValueError(
                f"runs: {self.runs} are too few for `regressor: lightgbm`, which puts 20 runs into each leaf and so could "
                "not tell any two mixtures apart; give 40 or more, or take `regressor: ridge`"
            )
        if self.top > self.simulations:
            raise ValueError(f"top: {self.top} of {self.simulations} `simulations` cannot be averaged; lower `top`")
        if self.lowest_strength > self.highest_strength:
            raise ValueError(
                f"lowest_strength: {self.lowest_strength:g} is above `highest_strength` {self.highest_strength:g}; "
                "exchange them"
            )
        return self


class ExactBilevel(Strict):
    """Bilevel optimisation by the exact derivative of the validation loss in the weights, for small models.

    `one_step`: through one gradient step (DARTS, arXiv 1806.09055); `unrolled`: through `inner_steps` of them in reverse
    mode (arXiv 1703.01785); `implicit`: by implicit differentiation with conjugate gradients, as if training had ended
    (arXiv 1602.02355). Needs second derivatives, so attention without fused kernels, and at most 50 million parameters.
    """

    kind: Literal["exact_bilevel"]
    hypergradient: Literal["one_step", "unrolled", "implicit"] = Field(description="how the derivative is taken")
    steps: PositiveInt = Field(description="updates of λ")
    inner_steps: PositiveInt = Field(1, description="gradient steps of the model for each update; 1 for `one_step`")
    learning_rate: PositiveFloat = Field(description="peak learning rate of the model's plain gradient descent")
    weight_learning_rate: PositiveFloat = Field(0.05, description="peak Adam learning rate of λ")
    per_source: PositiveInt = Field(6, description="training examples per source and update")
    validation_batch: PositiveInt = Field(18, description="validation examples per update")
    ramp: Count = Field(20, description="updates over which the learning rates rise")
    damping: PositiveFloat = Field(
        10.0,
        description="`implicit`: added to the Hessian's diagonal; raised tenfold where that is not yet positive definite",
    )
    tolerance: Annotated[float, Field(gt=0, lt=1)] = Field(
        1e-2, description="`implicit`: relative residual at which conjugate gradients stop"
    )
    prune_below: Share = Field(0.0, description="final weights below this become 0; both vectors are kept")

    @model_validator(mode="after")
    def _one_step_is_one(self):
        if self.hypergradient == "one_step" and self.inner_steps != 1:
            raise ValueError(
                f"inner_steps: {self.inner_steps} with `hypergradient: one_step`, which has one; take `unrolled` for more"
            )
        return self


class RhoLoss(Strict):
    """RHO-LOSS (arXiv 2206.07137): rows whose loss is still high, but low for a model that knows the validation set."""

    kind: Literal["rho_loss"]
    select: Literal["source", "rows"] = Field(
        "source",
        description="`source`: weights are shares of the rows trained on, rows are drawn at random; `rows`: the same "
        "weights, and the mixture takes the best-scored rows of each source first",
    )
    steps: PositiveInt = Field(description="optimiser steps of the current model, one large batch each")
    learning_rate: PositiveFloat = Field(description="peak AdamW learning rate of the current model")
    per_source: PositiveInt = Field(32, description="rows of each source in a large batch")
    keep: Annotated[float, Field(gt=0, le=1)] = Field(
        0.1, description="share of a large batch that is trained on, that with the highest reducible loss; as published"
    )
    ramp: Count = Field(20, description="steps over which the learning rate of either model rises")
    reference_steps: PositiveInt = Field(description="optimiser steps of the reference model on the validation set")
    reference_learning_rate: PositiveFloat = Field(description="peak AdamW learning rate of the reference model")
    reference_batch: PositiveInt = Field(18, description="validation examples per step of the reference model")


class DoReMi(Strict):
    """DoReMi (arXiv 2305.10429): group DRO on excess loss over a reference model; it sees no validation set."""

    kind: Literal["doremi"]
    steps: PositiveInt = Field(description="optimiser steps of the reference model, and again of the proxy")
    learning_rate: PositiveFloat = Field(description="peak AdamW learning rate of both models")
    per_source: PositiveInt = Field(6, description="training examples per source and step")
    ramp: Count = Field(20, description="steps over which the learning rate of either model rises")
    step_size: PositiveFloat = Field(
        1.0, description="η of the exponentiated-gradient step of the weights, as published"
    )
    smoothing: Share = Field(
        1e-3, description="c, the share of uniform mixed into the weights at each step, as published"
    )


Method = Annotated[
    Uniform
    | SizeProportional
    | Oracle
    | Given
    | ScaleBiO
    | GradientMatching
    | GradientAlignment
    | Less
    | RegMix
    | ExactBilevel
    | RhoLoss
    | DoReMi,
    Field(discriminator="kind"),
]
