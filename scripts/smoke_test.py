"""One step of every training mode on a model of a given shape with random weights, and its memory against the prediction.

The first thing to run on new hardware: `python scripts/smoke_test.py --shape llama-3-8b`, or behind the launch line of
several processes with `--shard`. Modes that cannot fit are named and skipped. Writes a table if `--output` is given.
"""

from scalebio.cli import first_process, run, training_parser
from scalebio.known_shapes import LLAMA_3_8B

SHAPES = {
    "llama-3-8b": LLAMA_3_8B,
    "tiny": {
        "vocab_size": 512,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
}


def main() -> None:
    """Predict, run and compare each mode."""
    import pandas as pd

    from scalebio import smoke
    from scalebio.files import replacing
    from scalebio.parallel import Parallel

    options = training_parser(__doc__)
    options.add_argument("--shape", choices=SHAPES, default="llama-3-8b")
    options.add_argument("--tokens", type=int, default=512, help="tokens of every example")
    options.add_argument("--output", help="CSV file to write")
    arguments = options.parse_args()
    parallel = Parallel(arguments.shard, arguments.offload, arguments.micro_batch or 1, arguments.recompute)
    rows = []
    for row in smoke.modes(SHAPES[arguments.shape], arguments.tokens, parallel):
        rows.append({"shape": arguments.shape, "processes": parallel.world, "sharded": parallel.shard, **row})
        if first_process():
            print(smoke.line(row), flush=True)
    if arguments.output and first_process():
        with replacing(arguments.output) as temporary:
            pd.DataFrame(rows).to_csv(temporary, index=False)


if __name__ == "__main__":
    run(main)
