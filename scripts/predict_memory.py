"""Predict what training one model of the study will hold in memory, before anything of it is trained or, where its shape is known,
fetched: parameters, gradients and optimiser states, without activations.

Settings: name, model (its section of the study), processes, shard, train (`finetuning.train` of the study).
"""

from scalebio.cli import parser, run


def main() -> None:
    """Write the predictions as JSON."""
    from pathlib import Path

    from scalebio import memory_by_mode
    from scalebio.config import Model
    from scalebio.files import write_json
    from scalebio.provenance import provenance

    options = parser(__doc__)
    options.add_argument("--model", help="provenance.json in the folder of a model whose shape is not known without it")
    options.add_argument("--output", required=True, help="JSON file to write")
    arguments = options.parse_args()
    settings = arguments.settings
    model = Model.model_validate(settings["model"])
    config = memory_by_mode.shape(model, str(Path(arguments.model).parent) if arguments.model else None)
    rows = memory_by_mode.rows(model, config, settings["processes"], settings["shard"], settings["train"])
    found = {"model": settings["name"], "parameters": memory_by_mode.parameters(config), "rows": rows}
    inputs = {"model": arguments.model} if arguments.model else {}
    write_json(arguments.output, found | {"provenance": provenance(settings, inputs)})


if __name__ == "__main__":
    run(main)
