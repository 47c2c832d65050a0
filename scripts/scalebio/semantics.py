"""What exactly one step of the method computes: ours, and what the authors' two releases compute, one switch a difference.

`scalebio` is ours and the default. `official_v1` is the preview release (2024), `official_acl` that of the ACL paper
(2025); both as read from their source, quirks included, because a reproduction must be able to show what the released
code does. Each field below is one difference. Imports nothing heavy: the study file is checked against it.
"""

from typing import Literal

from pydantic import Field, PositiveInt

from scalebio.schema import Share, Strict


class Semantics(Strict):
    """One choice per point on which ours and the releases differ; the defaults are ours."""

    example_loss: Literal["response", "padded"] = Field(
        "response",
        description="mean over response tokens; or their sum over all positions of the padded micro-batch but one",
    )
    source_mean: Literal["batch", "micro_batch"] = Field(
        "batch",
        description="a source's mean over the global batch; or over each micro-batch, a source absent from one dropping out",
    )
    draws: Literal["stratified", "by_size", "fresh_micro_batches"] = Field(
        "stratified",
        description="as many rows from every source; or a shuffle of all rows; or each micro-batch the head of a fresh shuffle",
    )
    reference_mean: Literal["example", "token", "micro_batch_token"] = Field(
        "example",
        description="L1: mean of examples' means; or over all response tokens; or that within each micro-batch, then over those",
    )
    micro_batch: PositiveInt = Field(8, description="rows per micro-batch, where one of the fields above speaks of it")
    same_layers: bool = Field(True, description="u and w train the same LISA layers; or each its own draw")
    free_states: bool = Field(True, description="forget the optimiser state of a layer that goes back to sleep")
    dropout: bool = Field(False, description="dropout is on, with different masks in u and w")
    normalised_step: bool = Field(
        True,
        description="w descends (L1 + α L2) / (1 + α) and u L2; or L1 + α L2 and α L2: Adam sees its ε and clipping only",
    )
    clip: bool = Field(False, description="gradients of u and w are clipped to norm α")
    schedule: Literal["ramp", "cosine", "warmup"] = Field(
        "ramp",
        description="`ramp` steps of rise, then cosine; or cosine alone; or 3 % warm-up from zero, then cosine",
    )
    wait: bool = Field(True, description="λ waits while u and w are equal: at step 0 and right after a resync")
    model_decay: Share = Field(0.0, description="AdamW weight decay of u and w")
    weight_decay: Share = Field(0.0, description="AdamW weight decay of λ")


_RELEASED = {
    "same_layers": False,
    "free_states": False,
    "dropout": True,
    "normalised_step": False,
    "wait": False,
    "model_decay": 5e-4,
    "weight_decay": 0.01,
}
PRESETS: dict[str, Semantics] = {
    "scalebio": Semantics(),
    "official_acl": Semantics(
        **_RELEASED, draws="fresh_micro_batches", reference_mean="token", clip=True, schedule="warmup", micro_batch=1
    ),
    "official_v1": Semantics(
        **_RELEASED,
        draws="by_size",
        example_loss="padded",
        source_mean="micro_batch",
        reference_mean="micro_batch_token",
        schedule="cosine",
    ),
}


def resolve(preset: str, differences: dict) -> Semantics:
    """The preset with single points changed. Raises pydantic's ValidationError for a point or value there is not."""
    return Semantics.model_validate(PRESETS[preset].model_dump() | differences)
