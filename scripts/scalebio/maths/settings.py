"""What the entry points of GSM8K and MATH take as `--settings`, checked before any work."""

from typing import Literal

from pydantic import Field, PositiveInt

from scalebio.config_evaluations import Benchmark, EngineKind
from scalebio.schema import Count, Strict


class Fetched(Strict):
    """Of fetch_math.py."""

    benchmark: Literal["gsm8k", "math"] = Field(description="which benchmark")
    origin: Benchmark = Field(description="as evaluations.math.benchmarks.<benchmark>, without `limit`")
    offline_data: str | None = Field(None, description="as in the study")


class Answers(Strict):
    """Of answer_math.py."""

    limits: dict[str, PositiveInt | None] = Field(description="benchmark → as evaluations.math.benchmarks.*.limit")
    prompt: str = Field(description="as evaluations.math.prompt")
    max_new_tokens: PositiveInt = Field(description="tokens per answer at most")
    batch: PositiveInt = Field(description="questions answered at a time")
    max_length: PositiveInt = Field(description="tokens of prompt and answer together")
    engine: EngineKind = Field(description="as evaluations.math.engine")
    chat_template: str | None = Field(None, description="as evaluations.math.chat_template")


class ComparedRun(Strict):
    """Which method and seed a file of graded answers stands for."""

    method: str = Field(description="weighting method")
    seed: Count = Field(description="seed of the run")


class Comparisons(Strict):
    """Of compare_math.py."""

    runs: list[ComparedRun] = Field(min_length=1, description="in the order of the files of graded answers")
    baseline: str = Field(description="method that the others are compared with")
