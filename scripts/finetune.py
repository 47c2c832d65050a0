"""Fine-tune the base model on the drawn mixture.

Settings: run (a label), finetuning (the study's section), seed, max_length, lisa.
"""

from pathlib import Path

from scalebio.cli import parser, run

EVALUATIONS = 5


def main() -> None:
    """Train, write the model's folder with provenance.json last, and training.parquet."""
    import pandas as pd

    from scalebio import base_models, finetuning, records
    from scalebio.chat import encode_all
    from scalebio.config import Finetuning, Lisa
    from scalebio.errors import UserError
    from scalebio.files import replacing, write_json
    from scalebio.progress import Progress
    from scalebio.provenance import provenance, sha256
    from scalebio.streams import stream

    options = parser(__doc__)
    options.add_argument("--model", required=True, help="provenance.json in the base model's folder")
    options.add_argument("--mixture", required=True)
    options.add_argument("--validation", required=True)
    options.add_argument("--output", required=True, help="provenance.json in the folder to make")
    options.add_argument("--training", required=True, help="training.parquet")
    arguments = options.parse_args()
    settings = arguments.settings
    recipe, seed = Finetuning.model_validate(settings["finetuning"]), settings["seed"]
    lisa = Lisa.model_validate(settings["lisa"]) if settings.get("lisa") else None

    model, tokenizer = base_models.load(Path(arguments.model).parent)
    examples = encode_all(records.read(arguments.mixture), tokenizer, settings["max_length"])
    steps = len(examples) * recipe.epochs // recipe.batch
    if not steps:
        raise UserError(
            f"{len(examples)} rows make no batch of {recipe.batch}: raise `finetuning.rows` or lower `batch`."
        )
    progress = Progress(f"fine-tuning {settings['run']}")
    history = finetuning.train(
        model.to(base_models.device()),
        examples,
        finetuning.Recipe(steps, recipe.batch, recipe.learning_rate, round(steps * recipe.ramp_fraction)),
        settings["max_length"],
        order=stream(seed, "fine-tuning order"),
        layer_rng=stream(seed, "fine-tuning lisa layers"),
        layers=lisa,
        validation=encode_all(records.read(arguments.validation), tokenizer, settings["max_length"]),
        evaluations=EVALUATIONS,
        on_step=lambda step, loss: progress(step + 1, steps, f"loss {loss:.3f}"),
    )
    with replacing(arguments.training) as temporary:
        pd.DataFrame(history).to_parquet(temporary, index=False)
    inputs = {"model": arguments.model, "mixture": arguments.mixture, "validation": arguments.validation}
    with replacing(Path(arguments.output).parent) as temporary:
        temporary.mkdir()
        base_models.save(model, tokenizer, temporary)
        weights = {file.name: sha256(file) for file in sorted(temporary.glob("*.safetensors"))}
        facts = provenance(settings, inputs, tokenizer, device=str(base_models.device()), world_size=1)
        write_json(temporary / Path(arguments.output).name, {"weights": weights, "provenance": facts})


if __name__ == "__main__":
    run(main)
