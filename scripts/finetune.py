"""Fine-tune the base model on the drawn mixture.

Settings: run (a label), finetuning (the study's section), seed, max_length, lisa, lora (of these two at most one).
"""

from pathlib import Path

from scalebio.cli import claim_training, expected, first_process, run, training_parser

EVALUATIONS = 5


def main() -> None:
    """Train, write the model's folder with provenance.json last, and training.parquet."""
    options = training_parser(__doc__)
    options.add_argument("--model", required=True, help="provenance.json in the base model's folder")
    options.add_argument("--mixture", required=True)
    options.add_argument("--validation", required=True)
    options.add_argument("--output", required=True, help="provenance.json in the folder to make")
    options.add_argument("--training", required=True, help="training.parquet")
    arguments = options.parse_args()
    claim_training(arguments, Path(arguments.output).parent)

    import pandas as pd

    from scalebio import base_models, checkpoints, finetuning, lora, records
    from scalebio.chat import encode_all
    from scalebio.config import Finetuning, Lisa, Lora
    from scalebio.errors import UserError
    from scalebio.files import replacing, write_json
    from scalebio.parallel import Parallel
    from scalebio.preflight import check_expected
    from scalebio.progress import Progress
    from scalebio.provenance import provenance
    from scalebio.streams import stream

    settings = arguments.settings
    recipe, seed = Finetuning.model_validate(settings["finetuning"]), settings["seed"]
    lisa = Lisa.model_validate(settings["lisa"]) if settings.get("lisa") else None
    adapters = Lora.model_validate(settings["lora"]) if settings.get("lora") else None

    parallel = Parallel(arguments.shard, arguments.offload, arguments.micro_batch, arguments.recompute)
    check_expected(expected(arguments), Path(arguments.training).parent, parallel)
    folder = Path(arguments.model).parent
    model, tokenizer = (base_models.load_empty if parallel.receives else base_models.load)(folder)
    lora.attach(model, adapters, seed)
    examples = encode_all(records.read(arguments.mixture), tokenizer, settings["max_length"])
    steps = len(examples) * recipe.epochs // recipe.batch
    if not steps:
        raise UserError(
            f"{len(examples)} rows make no batch of {recipe.batch}: raise `finetuning.rows` or lower `batch`."
        )
    job = finetuning.FineTuning(
        model,
        examples,
        finetuning.Recipe(steps, recipe.batch, recipe.learning_rate, round(steps * recipe.ramp_fraction)),
        settings["max_length"],
        order=stream(seed, "fine-tuning order"),
        layer_rng=stream(seed, "fine-tuning lisa layers"),
        layers=lisa,
        validation=encode_all(records.read(arguments.validation), tokenizer, settings["max_length"]),
        evaluations=EVALUATIONS,
        parallel=parallel,
        dropout_rng=stream(seed, "fine-tuning dropout") if adapters and adapters.dropout else None,
    )
    inputs = {"model": arguments.model, "mixture": arguments.mixture, "validation": arguments.validation}
    kept = checkpoints.Checkpoints(
        arguments.checkpoints,
        provenance(settings, inputs),
        parallel,
        arguments.checkpoint_seconds,
        arguments.minutes,
    )
    progress = Progress(f"fine-tuning {settings['run']}") if first_process() else None

    def report(seen: dict) -> None:
        if progress:
            progress(seen["step"] + 1, steps, f"loss {seen['loss']:.3f}", seen["tokens"])

    checkpoints.run(job, kept, report)
    # A model in parts is put together by all processes; otherwise `model` itself was trained.
    parameters = job.learner.whole_parameters() if parallel.shard else None
    if not first_process():
        return
    if parameters:
        # Adapters alone do not fill a model.
        model, _ = (base_models.load if adapters else base_models.load_empty)(folder)
        lora.attach(model, adapters, seed)
        base_models.fill(model, parameters)
    lora.merge(model)
    with replacing(arguments.training) as temporary:
        pd.DataFrame(job.rows).to_parquet(temporary, index=False)
    with replacing(Path(arguments.output).parent) as temporary:
        temporary.mkdir()
        base_models.save(model, tokenizer, temporary)
        ran = {"device": str(parallel.device), "world_size": parallel.world}
        facts = provenance(settings, inputs, tokenizer, {"training": arguments.training}, **ran)
        made = base_models.hashes(temporary) | {"layers": job.drawn, "provenance": facts}
        write_json(temporary / Path(arguments.output).name, made)
    kept.remove()


if __name__ == "__main__":
    run(main)
