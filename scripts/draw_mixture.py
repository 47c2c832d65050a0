"""Draw the rows that the final model is trained on, by the learned weights, and add the validation rows if asked to.

Settings: rows, seed, max_repeat (source → limit or null), over_supply (refuse or cap), max_length.
"""

from pathlib import Path

from scalebio.cli import parser, run


def main() -> None:
    """Read weights, row scores and pool, draw, write mixture.parquet and mixture.json."""
    # Not AutoTokenizer, which would import torch: base models are saved with tokenizer.json, and only that is needed here.
    from transformers import PreTrainedTokenizerFast

    from scalebio import mixture, records, row_scores
    from scalebio.chat import encode_all
    from scalebio.files import read_json, write_json
    from scalebio.provenance import provenance
    from scalebio.streams import stream

    options = parser(__doc__)
    options.add_argument("--weights", required=True)
    options.add_argument("--row-scores", required=True, help="row_scores.parquet")
    options.add_argument("--train", required=True)
    options.add_argument(
        "--model", required=True, help="provenance.json in the base model's folder; its tokenizer counts"
    )
    options.add_argument("--validation", help="rows to add to those drawn, each once; left out: none")
    options.add_argument("--output", required=True, help="mixture.parquet")
    options.add_argument("--manifest", required=True, help="mixture.json")
    arguments = options.parse_args()
    settings = arguments.settings

    weights = read_json(arguments.weights)["weights"]
    by_source = records.group_by_source(records.read(arguments.train), list(weights))
    available = {name: len(rows) for name, rows in by_source.items()}
    scores = row_scores.read(arguments.row_scores, available)
    over_supply = settings.get("over_supply", "refuse")
    chosen = mixture.draw(
        weights, available, settings["rows"], settings["seed"], settings["max_repeat"], scores, over_supply
    )
    drawn = {name: [by_source[name][i] for i in indices] for name, indices in chosen.items()}

    added = records.read(arguments.validation) if arguments.validation else []

    tokenizer = PreTrainedTokenizerFast.from_pretrained(Path(arguments.model).parent)
    examples = {name: encode_all(rows, tokenizer, settings["max_length"]) for name, rows in drawn.items()}
    tokens = {name: sum(len(example.ids) for example in encoded) for name, encoded in examples.items()}
    truncated = {name: sum(example.truncated for example in encoded) for name, encoded in examples.items()}
    held_out = encode_all(added, tokenizer, settings["max_length"])
    validation = {
        "rows": len(added),
        "tokens": sum(len(example.ids) for example in held_out),
        "truncated": sum(example.truncated for example in held_out),
    }

    counts = truncated | {"the validation rows": validation["truncated"]}
    if any(counts.values()):
        cut = ", ".join(f"{name}: {count}" for name, count in counts.items() if count)
        print(f"rows cut at max_length = {settings['max_length']} tokens: {cut}")

    shares = mixture.realised(weights, available, tokens, {name: len(drawn[name]) for name in drawn})
    if capped := [f"{name}: {facts['capped']}" for name, facts in shares.items() if facts["capped"]]:
        print(f"rows that max_repeat kept back, given to the other sources: {', '.join(capped)}")

    rows = [row for name in drawn for row in drawn[name]] + added
    order = stream(settings["seed"], "mixture order").permutation(len(rows))
    records.write(arguments.output, [rows[i] for i in order])
    inputs = {"weights": arguments.weights, "row_scores": arguments.row_scores, "train": arguments.train}
    inputs |= {"validation": arguments.validation} if arguments.validation else {}
    write_json(
        arguments.manifest,
        {
            "rows": len(rows),
            "sources": shares,
            "truncated": truncated,
            "validation": validation,
            "provenance": provenance(settings, inputs, tokenizer, {"mixture": arguments.output}),
        },
    )


if __name__ == "__main__":
    run(main)
