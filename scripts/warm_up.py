"""Train a base model on the uniform mixture of an experiment's sources; a model from scratch is made first.

Settings: experiment, model (its section of the study), sources (names), seed.
"""

from pathlib import Path

from scalebio.cli import claim, expected, gpu_parser, run


def main() -> None:
    """Make or load the model, warm it up, write its folder with provenance.json last."""
    options = gpu_parser(__doc__)
    options.add_argument("--model", help="provenance.json of the model to start from; left out: from scratch")
    options.add_argument("--train", required=True)
    options.add_argument("--output", required=True, help="provenance.json in the folder to make")
    arguments = options.parse_args()
    claim(Path(arguments.output).parent)

    from scalebio import base_models, finetuning, mixture, records
    from scalebio.chat import encode_all
    from scalebio.config import Model
    from scalebio.files import replacing, write_json
    from scalebio.preflight import check_expected
    from scalebio.progress import Progress
    from scalebio.provenance import provenance
    from scalebio.streams import stream

    settings = arguments.settings
    check_expected(expected(arguments), Path(arguments.train).parent)
    spec, seed, names = Model.model_validate(settings["model"]), settings["seed"], settings["sources"]
    warm_up = spec.warm_up
    by_source = records.group_by_source(records.read(arguments.train), names)

    if arguments.model:
        model, tokenizer = base_models.load(Path(arguments.model).parent)
    else:
        texts = [message["content"] for name in names for row in by_source[name] for message in row.messages]
        model, tokenizer = base_models.from_scratch(spec.scratch, texts, spec.max_length, seed)

    # The uniform mixture whatever the sources' sizes, in the order that training takes it.
    uniform = {name: 1 / len(names) for name in names}
    available = {name: len(rows) for name, rows in by_source.items()}
    chosen = mixture.draw(uniform, available, warm_up.steps * warm_up.batch, seed, {})
    rows = [by_source[name][i] for name, indices in chosen.items() for i in indices]
    progress = Progress(f"warm-up {settings['experiment']}")
    history = finetuning.train(
        model,
        encode_all(rows, tokenizer, spec.max_length),
        finetuning.Recipe(warm_up.steps, warm_up.batch, warm_up.learning_rate, warm_up.steps // 20),
        spec.max_length,
        order=stream(seed, "warm-up order"),
        on_step=lambda seen: progress(seen["step"] + 1, warm_up.steps, f"loss {seen['loss']:.3f}", seen["tokens"]),
    )
    inputs = {"train": arguments.train} | ({"model": arguments.model} if arguments.model else {})
    folder = Path(arguments.output).parent
    with replacing(folder) as temporary:
        temporary.mkdir()
        base_models.save(model, tokenizer, temporary)
        write_json(
            temporary / Path(arguments.output).name,
            {
                "first_loss": history[0]["loss"],
                "last_loss": history[-1]["loss"],
                "parameters": model.num_parameters(),
                **base_models.hashes(temporary),
                "provenance": provenance(settings, inputs, tokenizer, device=str(base_models.device())),
            },
        )


if __name__ == "__main__":
    run(main)
