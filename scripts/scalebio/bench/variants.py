"""What is measured: the released step, each rung towards ours, and ours as the engine runs it.

`scalebio` and `scalebio_frozen_embeddings` are `bilevel.Bilevel` itself, given the same rows and the same layers as the
others. The second trains fewer parameters than LISA as published and is therefore no rung: it stands apart.
"""

from collections.abc import Callable, Iterator

from scalebio.bench import ladder, shapes
from scalebio.bench.names import ABOUT, MAIN
from scalebio.bench.released import ReleasedStep
from scalebio.bench.shapes import Batch, Shape
from scalebio.bilevel import Bilevel
from scalebio.config import Lisa
from scalebio.config_methods import ScaleBiO


class InOrder:
    """Draws that are the rows in the order given, in place of a shuffle."""

    def __init__(self):
        self.used = 0

    def take(self, count: int) -> list[int]:
        """The next `count` indices."""
        self.used += count
        return list(range(self.used - count, self.used))


class TheseLayers:
    """A draw of layers that is always the same one."""

    def __init__(self, layers: list[int]):
        self.layers = layers

    def at(self, step: int) -> list[int] | None:
        """The layers at step 0, and no new draw after it."""
        return self.layers if step == 0 else None


def engine(shape: Shape, batches: list[Batch], embeddings: bool, seed: int = 0) -> Bilevel:
    """The engine on these batches: draws replaced by the rows in order, everything else as in a study."""
    by_source = [
        [example for batch in batches for example in batch.training if example.source == source]
        for source in range(shapes.SOURCES)
    ]
    settings = ScaleBiO(
        kind="scalebio",
        # So many that the schedule stays flat, as in the middle of a long run.
        steps=10**6,
        ramp=0,
        learning_rate=1e-5,
        per_source=shape.batch // shapes.SOURCES,
        validation_batch=shape.batch,
    )
    lisa = Lisa(layers=2, interval=20, embeddings=embeddings)
    held_out = [example for batch in batches for example in batch.validation]
    bilevel = Bilevel(shapes.make_model(shape, seed), by_source, held_out, settings, seed, shape.longest, lisa)
    bilevel.draws.cycles = [InOrder() for _ in by_source]
    bilevel.validation_draws = InOrder()
    bilevel.layer_draws = {"uw": TheseLayers(shapes.typical_layers(shape))}
    return bilevel


def steps(variant: str, shape: Shape, batches: list[Batch], seed: int = 0) -> Iterator[Callable[[], object]]:
    """One function a batch, in order, each of which makes one outer step of `variant`."""
    if variant.startswith("scalebio"):
        bilevel = engine(shape, batches, embeddings=variant == "scalebio", seed=seed)
        return (bilevel.step for _ in batches)
    arguments = (lambda: shapes.make_model(shape, seed), shapes.typical_layers(shape), seed)
    made = ReleasedStep(*arguments) if variant == "released" else ladder.LadderStep(variant, shape.longest, *arguments)
    return (lambda batch=batch: made.step(batch) for batch in batches)


def wanted(text: str) -> tuple[str, list[str]]:
    """Shape and variants from `NAME=all` or `NAME=main`. Raises ValueError for a name there is not."""
    shape, _, which = text.partition("=")
    if shape not in shapes.SHAPES or which not in ("all", "main"):
        raise ValueError(text)
    return shape, list(ABOUT if which == "all" else MAIN)
