"""The part of a study file that says how weights are chosen: one class a method, told apart by its `kind`."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, ValidationError, model_validator

from scalebio import semantics
from scalebio.schema import Count, Share, Strict


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
    per_source: PositiveInt = Field(6, description="training examples per source and step, the same for u and w")
    validation_batch: PositiveInt = Field(18, description="validation examples per step")
    ramp: Count = Field(20, description="steps over which the learning rates of u, w and λ rise")
    resync_every: PositiveInt | None = Field(
        None, description="copy u and its Adam state into w every so many steps; set it where a proportion is expected"
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
    Uniform | SizeProportional | Oracle | ScaleBiO | GradientMatching | RhoLoss | DoReMi, Field(discriminator="kind")
]
