"""Measure a fine-tuned model: test loss, and task accuracy where it is asked for.

Settings: run (a label), max_length, accuracy (the study's section) or null, trained_on_validation (whether it was).
"""

from pathlib import Path

from scalebio.cli import claim, expected, gpu_parser, run


def main() -> None:
    """Evaluate and write metrics.json."""
    options = gpu_parser(__doc__)
    options.add_argument("--model", required=True, help="provenance.json in the model's folder")
    options.add_argument("--test", required=True)
    options.add_argument("--output", required=True, help="metrics.json")
    arguments = options.parse_args()
    claim(arguments.output)

    from scalebio import base_models, evaluation, records
    from scalebio.config_evaluations import Accuracy
    from scalebio.files import write_json
    from scalebio.preflight import check_expected
    from scalebio.provenance import provenance

    settings = arguments.settings

    check_expected(expected(arguments), Path(arguments.output).parent)
    model, tokenizer = base_models.load(Path(arguments.model).parent)
    model.to(base_models.device())
    test = records.read(arguments.test)
    metrics = evaluation.test_loss(model, tokenizer, test, settings["max_length"])
    if settings.get("accuracy"):
        accuracy = Accuracy.model_validate(settings["accuracy"])
        metrics |= evaluation.accuracy(model, tokenizer, test, accuracy, settings["max_length"])
    inputs = {"model": arguments.model, "test": arguments.test}
    write_json(
        arguments.output,
        metrics
        | {"trained_on_validation": settings["trained_on_validation"]}
        | {"provenance": provenance(settings, inputs, tokenizer, device=str(base_models.device()))},
    )


if __name__ == "__main__":
    run(main)
