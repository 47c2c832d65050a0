"""What the MT-Bench entry points take as `--settings`, checked before any work."""

from typing import TypeVar

from pydantic import Field, PositiveInt, ValidationError

from scalebio.config_evaluations import EngineKind, Judge, MTBenchOrigin, References
from scalebio.errors import UserError
from scalebio.origins import PackageFile
from scalebio.schema import Count, Strict

Model = TypeVar("Model", bound=Strict)


class Fetched(Strict):
    """Of fetch_mtbench.py."""

    data: list[MTBenchOrigin] = Field(description="as evaluations.mtbench.data")
    files: list[str] = Field(description="which of FastChat's files, keys of scalebio.mtbench.data.FILES")
    gguf: PackageFile | None = Field(None, description="as evaluations.mtbench.judge.gguf")


class Questions(Strict):
    """Of mtbench_questions.py."""

    data: list[MTBenchOrigin] = Field(description="as evaluations.mtbench.data")
    references: References = Field(description="as evaluations.mtbench.references")
    from_test_set: PositiveInt | None = Field(None, description="as evaluations.mtbench.from_test_set")
    seed: Count = Field(0, description="for the pairing of test rows")


class Answers(Strict):
    """Of mtbench_answers.py."""

    model_id: str = Field(min_length=1, description="how the model is called in the results")
    seed: Count = Field(description="for sampling")
    max_new_tokens: PositiveInt = Field(description="tokens per turn at most")
    batch: PositiveInt = Field(description="questions answered at a time")
    max_length: PositiveInt = Field(description="tokens of prompt and answer together")
    engine: EngineKind = Field(description="as evaluations.mtbench.engine")
    chat_template: str | None = Field(None, description="as evaluations.mtbench.chat_template")


class Judgments(Strict):
    """Of mtbench_judgments.py."""

    judge: Judge = Field(description="who rates")
    data: list[MTBenchOrigin] = Field(description="where the judge's prompts lie, as evaluations.mtbench.data")


class ScoredRun(Strict):
    """Which method and seed a model of the judgments stands for."""

    model_id: str = Field(description="as in the answers")
    method: str = Field(description="weighting method")
    seed: Count = Field(description="seed of the run")


class Scores(Strict):
    """Of mtbench_scores.py."""

    runs: list[ScoredRun] = Field(min_length=1, description="the models that are scored")
    baseline: str = Field(description="method that the others are compared with")
    seed: Count = Field(0, description="for the bootstrap")


def checked(model: type[Model], settings: dict) -> Model:
    """`settings` as `model`. Raises UserError with every fault at once, each with its dotted path."""
    try:
        return model.model_validate(settings)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc'])) or 'settings'}: {fault['msg']}" for fault in error.errors()]
        raise UserError("--settings: " + "; ".join(faults)) from error
