"""The typed form of workflow/claims.yaml: what is claimed, where it stands, and how each claim is tested.

A test names what it is measured on before anything is measured: the experiments, the method, the number, and the band that the
number's interval has to lie in.
"""

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, TypeAdapter, ValidationError, model_validator

from scalebio.errors import UserError
from scalebio.schema import Name, Strict, exactly_one
from scalebio.study import check_files

Place = Annotated[str, Field(pattern=r"^[\w-]+/[\w-]+$", description="`study/experiment`")]


class Band(Strict):
    """Where the whole interval has to lie for the claim to count as reproduced; give `above` or `below`."""

    above: float | None = Field(None, description="the interval's low end has to lie above this")
    below: float | None = Field(None, description="the interval's high end has to lie below this")
    words: str = Field(min_length=1, description="the same in words, with the reason for the limit")

    @model_validator(mode="after")
    def _one_limit(self):
        exactly_one(self, "above", "below")
        return self


class Tested(Strict):
    """What all tests have in common."""

    scale: Literal["small", "paper"] = Field(description="`paper`: with a model and data of the paper's own experiment")
    experiments: list[Place] = Field(min_length=1, description="experiments that test the claim")
    method: Name = Field("scalebio", description="the method that the claim is about")
    paper: str | None = Field(None, description="the paper's value, as quoted; unset: not known to us")
    band: Band = Field(description="the criterion")
    hub: dict[Place, str] = Field(
        {}, description="needed with scale `paper`: the hub id of the paper's model in every experiment of the test"
    )
    needs: str = Field(min_length=1, description="what is needed where the study at hand cannot test it")

    @model_validator(mode="after")
    def _models_named(self):
        if missing := [place for place in self.experiments if self.scale == "paper" and place not in self.hub]:
            raise ValueError(f"scale `paper` needs the model of {', '.join(missing)} in `hub`")
        return self


class Share(Tested):
    """Weight of some sources together over what equal weights give them, mean over seeds (table weights)."""

    kind: Literal["share"]
    sources: Literal["spoiled", "irrelevant"] | list[Name] = Field(
        description="names, or by what was planted. `spoiled`: sources with corrupted answers; `irrelevant`: others whose expected "
        "share is 0"
    )


class Gain(Tested):
    """Test loss minus that of equal weights, paired by seed (table method_comparison), in nats per answer token."""

    kind: Literal["gain"]


class Benchmark(Tested):
    """Score minus that of equal weights, paired by question (tables mtbench_differences, math_differences)."""

    kind: Literal["benchmark"]
    benchmark: str = Field(description="`mtbench`, in points, or a benchmark of the mathematics, in percentage points")


class Baselines(Tested):
    """Difference to each of several methods, paired by seed, with Holm's correction (tables test_loss, mtbench)."""

    kind: Literal["baselines"]
    against: list[Name] | None = Field(None, description="these methods; unset: all others that learn")
    measure: Literal["test_loss", "mtbench"] = Field("test_loss", description="what is compared")


class Pair(Tested):
    """Difference of test losses to another experiment on the same data, paired by seed (table test_loss)."""

    kind: Literal["pair"]
    other: Name = Field(description="the other experiment")
    other_method: Name | None = Field(None, description="its method; unset: the same")
    as_share_of_gain: bool = Field(
        False,
        description="divide by what the other experiment's `method` gains over equal weights, so that 1 is all of it",
    )


class Regret(Tested):
    """What is lost by taking another model's weights instead of learning (table transfer), as a share of what learning gains."""

    kind: Literal["regret"]
    own: Name = Field(description="the experiment in which the model learned its own")


class Differ(Tested):
    """How far the weights of two experiments lie apart beyond what seeds differ by (table weights)."""

    kind: Literal["differ"]
    other: Name = Field(description="the other experiment, with another model")


class Memory(Tested):
    """Memory while weights are learned over that of another experiment (tables memory and peak_memory)."""

    kind: Literal["memory"]
    other: Name = Field(description="the other experiment")
    how: Literal["held", "peak"] = Field(
        description="`held`: computed from the shapes; `peak`: measured, everything included that the process holds"
    )


class Finished(Tested):
    """With how many seeds the weights were learned at all (table weights)."""

    kind: Literal["finished"]


AnyTest = Annotated[
    Share | Gain | Benchmark | Baselines | Pair | Regret | Differ | Memory | Finished, Field(discriminator="kind")
]


class Claim(Strict):
    """One statement of the paper and its tests, or why no study can test it."""

    id: Name = Field(description="short name, unique")
    statement: str = Field(min_length=1, description="what is claimed")
    where: str = Field(min_length=1, description="where it stands in the paper")
    known: str = Field(min_length=1, description="how well the statement and its numbers are known to us")
    tests: list[AnyTest] = Field([], description="how it is tested")
    untested: str | None = Field(None, description="in place of `tests`: what a test would need")

    @model_validator(mode="after")
    def _tested_or_not(self):
        if bool(self.tests) == bool(self.untested):
            raise ValueError("give either `tests` or `untested`")
        return self


def load(path: str | Path) -> list[Claim]:
    """The claims in a YAML file. Raises UserError naming file, claim and key of everything that is wrong."""
    check_files([path])
    content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    try:
        claims = TypeAdapter(list[Claim]).validate_python(content)
    except ValidationError as error:
        lines = [f"  {_place(fault['loc'], content)}: {fault['msg']}" for fault in error.errors()]
        raise UserError(
            f"{path} does not hold claims as docs/claims.md describes them:\n" + "\n".join(lines)
        ) from error
    names = [claim.id for claim in claims]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"{path}: the id {', '.join(repeated)} is given twice. Give each claim its own.")
    return claims


def _place(location: tuple, content: object) -> str:
    """A dotted place that starts with the claim's id where it has one."""
    if location and isinstance(content, list) and isinstance(content[location[0]], dict):
        location = (content[location[0]].get("id", location[0]), *location[1:])
    return ".".join(map(str, location)) or "the file"
