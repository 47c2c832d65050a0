"""What tests/test_parallel.py starts on several processes: each mode's weights and final model, written by the first.

Run by hand: accelerate launch --multi_gpu --num_processes 2 … tests/parallel_worker.py OUT.json '{"shard": true}' …
One set of `Parallel`'s arguments after the other, because starting the processes costs more than what they do.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

import numpy as np  # noqa: E402
import torch  # noqa: E402

from scalebio import lora, weighting  # noqa: E402
from scalebio.base_models import from_scratch  # noqa: E402
from scalebio.bilevel import Bilevel  # noqa: E402
from scalebio.chat import encode  # noqa: E402
from scalebio.config import Lisa, Lora, Scratch  # noqa: E402
from scalebio.config_methods import DoReMi, RhoLoss, ScaleBiO  # noqa: E402
from scalebio.finetuning import FineTuning, Recipe  # noqa: E402
from scalebio.parallel import Parallel  # noqa: E402
from scalebio.streams import stream  # noqa: E402

BY_LOSS = {
    "rho_loss": RhoLoss(
        kind="rho_loss",
        select="rows",
        steps=4,
        learning_rate=1e-3,
        per_source=12,
        keep=0.25,
        ramp=1,
        reference_steps=4,
        reference_learning_rate=1e-3,
    ),
    "doremi": DoReMi(kind="doremi", steps=4, learning_rate=1e-3, per_source=3, ramp=1),
}
MODES = {
    "full": None,
    "lisa": Lisa(layers=1, interval=2),
    "frozen_embeddings": Lisa(layers=2, interval=2, embeddings=False),
    # At a small alpha the first gaps are so small that rounding shows in λ, which Adam moves by full steps.
    "lora": Lora(rank=4, alpha=128),
}


def start(spec: Scratch, words: list[str], adapters: Lora | None, parallel: Parallel):
    """Model and tokenizer; a process that should get its parameters from the first has none that it could use."""
    model, tokenizer = from_scratch(spec, words * 20, 64, seed=0)
    lora.attach(model, adapters, 0)
    if parallel.receives:
        for parameter in model.parameters():
            parameter.data.fill_(float("nan"))
    return model, tokenizer


def run(parallel: Parallel) -> dict:
    """λ's weights at every step and the final validation loss of each mode, and losses and parameters of fine-tuning."""
    words = ["Calculate 1 + 2.", "3"]
    spec = Scratch(hidden_size=32, intermediate_size=64, layers=4, heads=4, vocabulary=300)

    def make(count: int, source: int, seed: int) -> list:
        rng = np.random.default_rng(seed)
        return [
            encode(
                [
                    {"role": "user", "content": f"Calculate {a} + {b}."},
                    {"role": "assistant", "content": str(a + b * source)},
                ],
                tokenizer,
                64,
                source,
            )
            for a, b in rng.integers(0, 60, (count, 2)).tolist()
        ]

    found = {}
    for mode, trains in MODES.items():
        adapters = trains if isinstance(trains, Lora) else None
        layers = None if adapters else trains
        model, tokenizer = start(spec, words, adapters, parallel)
        settings = ScaleBiO(
            kind="scalebio", steps=6, learning_rate=1e-3, per_source=3, validation_batch=5, ramp=1, resync_every=4
        )
        by_source = [make(12, source, source) for source in range(3)]
        job = Bilevel(model, by_source, make(10, 1, 9), settings, 0, 64, layers, parallel)
        weights = [job.step().weights.tolist() for _ in range(6)] + [job.weights.tolist()]
        model, _ = start(spec, words, adapters, parallel)
        tuned = FineTuning(
            model,
            make(40, 1, 7),
            Recipe(6, 8, 1e-3, 1),
            64,
            stream(0, "a"),
            stream(0, "b"),
            layers,
            make(9, 1, 8),
            2,
            parallel,
        )
        while tuned.done < tuned.steps:
            tuned.step()
        norms = {name: tensor.double().norm().item() for name, tensor in tuned.learner.whole_parameters().items()}
        states = sum(len(state) for state in tuned.learner.optimizer.state.values())
        found[mode] = {
            "weights": weights,
            "losses": [row["loss"] for row in tuned.rows],
            "norms": norms,
            "states": states,
        }
    for name, settings in BY_LOSS.items():
        if name == "doremi" and parallel.shard:
            continue  # which it refuses
        model, tokenizer = from_scratch(spec, words * 20, 64, seed=0)
        problem = weighting.Problem(
            ["a", "b", "c"],
            lambda model=model: model,
            lambda: [make(12, source, source) for source in range(3)],
            lambda: make(10, 1, 9),
            row_length=64,
            load_parallel=lambda: parallel,
        )
        outcome = weighting.learn(problem, settings, 0)
        scores = np.concatenate(outcome.row_scores).tolist() if outcome.row_scores else []
        found[name] = {"weights": [outcome.weights.tolist()], "losses": scores, "norms": {}, "states": 0}
    return found


if __name__ == "__main__":
    out, *ways = sys.argv[1:]
    torch.set_num_threads(1)
    rows = []
    for way in map(json.loads, ways):
        parallel = Parallel(**way)
        rows.append({"world": parallel.world, "shard": parallel.shard, "found": run(parallel)})
    if parallel.rank == 0:
        Path(out).write_text(json.dumps(rows))
