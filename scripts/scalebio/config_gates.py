"""The part of a study file that says what its gates measure by, and which of them stop it."""

from typing import Annotated, Literal

from pydantic import Field

from scalebio.schema import Share, Strict

Action = Literal["report", "fatal"]


class Gates(Strict):
    """Checks with a verdict file each (`results/<study>/gates/`); a fatal one that failed stops what depends on it."""

    leakage: Action = Field(
        "report",
        description="validation, test or benchmark questions in training rows, the same or nearly; `fatal`: neither a base is "
        "warmed up nor weights are learned on them",
    )
    template: Action = Field(
        "report",
        description="one tokenizer and chat template in all stages of a run; `fatal`: no table of its results is made",
    )
    controls: Action = Field(
        "report",
        description="experiments with a `control` come out as is known; `fatal`: the study ends with an error",
    )
    tolerance: Share = Field(
        0.1, description="by how much a control's mean weight over seeds may miss the share that is known"
    )
    words: Annotated[int, Field(ge=2)] = Field(
        8, description="words in the runs that texts are compared by; shorter texts are compared whole"
    )
    similarity: Annotated[float, Field(gt=0, le=1)] = Field(
        0.8, description="share of a question's runs of words that make a near duplicate of the text they stand in"
    )
