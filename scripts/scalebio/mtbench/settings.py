"""What the four MT-Bench entry points take as `--settings`, checked before any work."""

from typing import TypeVar

from pydantic import Field, PositiveInt, ValidationError

from scalebio.config import Count, Judge, MTBench, PackageFile, Strict
from scalebio.errors import UserError

Model = TypeVar("Model", bound=Strict)


class Questions(Strict):
    """Of mtbench_questions.py."""

    mtbench: MTBench = Field(description="evaluations.mtbench of the study")
    seed: Count = Field(0, description="for the pairing of test rows")


class Answers(Strict):
    """Of mtbench_answers.py."""

    model_id: str = Field(min_length=1, description="how the model is called in the results")
    seed: Count = Field(description="for sampling")
    max_new_tokens: PositiveInt = Field(description="tokens per turn at most")
    batch: PositiveInt = Field(description="questions answered at a time")
    max_length: PositiveInt = Field(description="tokens of prompt and answer together")


class Judgments(Strict):
    """Of mtbench_judgments.py."""

    judge: Judge = Field(description="who rates")
    prompts: PackageFile = Field(description="the wheel with judge_prompts.jsonl")


class Scores(Strict):
    """Of mtbench_scores.py."""

    seed: Count = Field(0, description="for the bootstrap")


def checked(model: type[Model], settings: dict) -> Model:
    """`settings` as `model`. Raises UserError with every fault at once, each with its dotted path."""
    try:
        return model.model_validate(settings)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc'])) or 'settings'}: {fault['msg']}" for fault in error.errors()]
        raise UserError("--settings: " + "; ".join(faults)) from error
