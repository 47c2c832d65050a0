"""Take the weights that another experiment learned on the same sources, with the same method and seed.

Settings: experiment, method (name), seed, sources (names in order), model (name), origin: {experiment, model}.
Needs no model in memory: of both base models only tokenizer and chat template are compared.
"""

from scalebio.cli import claim, parser, run


def main() -> None:
    """Compare sources, refuse or take over, write weights.json, and a trajectory without rows: nothing was learned."""
    options = parser(__doc__)
    options.add_argument("--weights", required=True, help="weights.json of the experiment that learned them")
    options.add_argument("--their-pool", required=True, help="its pool.json")
    options.add_argument("--their-model", required=True, help="provenance.json in the folder of its base model")
    options.add_argument("--pool", required=True, help="pool.json of this experiment")
    options.add_argument("--model", required=True, help="provenance.json in the folder of this experiment's base model")
    options.add_argument("--row-scores", required=True, help="row_scores.parquet of the experiment that learned")
    options.add_argument("--their-train", required=True, help="its train.parquet")
    options.add_argument("--train", required=True, help="train.parquet of this experiment")
    options.add_argument("--output", required=True, help="weights.json")
    options.add_argument("--scores", required=True, help="row_scores.parquet to write")
    options.add_argument("--trajectory", required=True, help="trajectory.parquet")
    arguments = options.parse_args()
    claim(arguments.output)

    import pandas as pd

    from scalebio import transfer
    from scalebio.errors import UserError
    from scalebio.files import read_json, replacing, write_json
    from scalebio.provenance import provenance, write_beside

    settings = arguments.settings
    experiment, origin = settings["experiment"], settings["origin"]["experiment"]
    learned = read_json(arguments.weights)
    for key in ("method", "seed"):
        if learned[key] != settings[key]:
            raise UserError(
                f"{arguments.weights}: its {key} is {learned[key]}; expected {settings[key]}. Name that run's."
            )
    hashes = {
        name: read_json(path)["sources"] for name, path in (("ours", arguments.pool), ("theirs", arguments.their_pool))
    }
    ours = {name: hashes["ours"][name] for name in settings["sources"]}
    weights = transfer.take(learned, experiment, ours, origin, hashes["theirs"])
    transfer.take_scores(arguments.row_scores, arguments.scores, arguments.train, arguments.their_train)
    facts = transfer.record(
        origin, settings["origin"]["model"], transfer.reading(arguments.model), transfer.reading(arguments.their_model)
    )
    differs = [name for name in ("template", "tokenizer") if facts[f"{name}_changed"]]
    print(
        f"weights {experiment}/{settings['method']}/seed{settings['seed']}: taken from {origin}; learned with model "
        f"{facts['model']}, used with {settings['model']}; "
        f"{'changed: ' + ' and '.join(differs) if differs else 'same chat template and tokenizer'}"
    )
    with replacing(arguments.trajectory) as temporary:
        columns = {"step": "int64", "source": "string", "quantity": "string", "value": "float64"}
        pd.DataFrame(columns=list(columns)).astype(columns).to_parquet(temporary, index=False)
    outputs = {"row_scores": arguments.scores}
    inputs = {"weights": arguments.weights, "pool": arguments.pool, "their_pool": arguments.their_pool}
    inputs |= {"row_scores": arguments.row_scores, "train": arguments.train, "their_train": arguments.their_train}
    inputs |= {"model": arguments.model, "their_model": arguments.their_model}
    write_beside(arguments.trajectory, settings, inputs)
    write_json(
        arguments.output,
        {
            "weights": weights,
            "method": settings["method"],
            "seed": settings["seed"],
            # What learning them cost stands with those that learned.
            "cost": {"forward_tokens": 0, "backward_tokens": 0},
            "transferred": facts,
            "provenance": provenance(settings, inputs, outputs=outputs),
        },
    )


if __name__ == "__main__":
    run(main)
