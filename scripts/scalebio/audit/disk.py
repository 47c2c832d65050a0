"""What a study leaves on disk and downloads: models and checkpoints. Rows, tables and logs are small beside them and not counted.

Data sets of the hub are not counted either: how large they are is known only there.
"""

from scalebio.checkpoints import KEPT

FLOAT32 = 4
# Models are published in two or four bytes a parameter, and which of them is known only at the hub.
PUBLISHED = (2, 4)


def model(parameters: int | None) -> float | None:
    """Bytes of a model in the results, in float32 as every stage keeps it; None if its size is not known."""
    return None if parameters is None else float(parameters * FLOAT32)


def download(parameters: int | None) -> tuple[float, float] | None:
    """Bytes of a published model, from … to; None if its size is not known."""
    return None if parameters is None else tuple(float(parameters * size) for size in PUBLISHED)


def checkpoints(parameters: int, models: int, states: int) -> float:
    """Bytes of the checkpoints of one training job while it runs: those that are kept, each with `models` models and their states."""
    return float(KEPT * models * (parameters * FLOAT32 + states))
