"""Build one experiment's pool: training rows by source, validation rows and test rows, checked for leakage.

--settings: {"name": experiment's name, "experiment": its sources, reference and leakage, "reference": its reference's entry}
--sources: NAME=records.parquet for every training and reference source
Writes three Parquet files of records and the manifest with counts, shares, leaks, hashes and provenance (JSON).
"""

import argparse
from pathlib import Path

from pydantic import ValidationError

from scalebio import pools, records
from scalebio.cli import parser, run
from scalebio.config import PoolSettings, Reference
from scalebio.errors import UserError
from scalebio.files import write_json
from scalebio.provenance import provenance


def named_path(text: str) -> tuple[str, Path]:
    """NAME=PATH as a pair."""
    name, separator, path = text.partition("=")
    if not (name and separator and path):
        raise argparse.ArgumentTypeError(f"expected NAME=PATH, found {text!r}")
    return name, Path(path)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--sources", type=named_path, nargs="+", required=True, metavar="NAME=PATH")
    for part in ("train", "validation", "test"):
        arguments.add_argument(f"--{part}", type=Path, required=True, help=f"Parquet file of {part} rows")
    arguments.add_argument("--manifest", type=Path, required=True, help="pool.json")
    given = arguments.parse_args()
    name = given.settings["name"]
    try:
        experiment = PoolSettings.model_validate(given.settings["experiment"])
        reference = Reference.model_validate(given.settings["reference"])
    except ValidationError as error:
        raise UserError(f"experiment `{name}`: {error}") from error
    sources = {source: records.read(path) for source, path in given.sources}
    pool, manifest = pools.build(name, experiment, reference, sources)
    for part, rows in pool.items():
        records.write(getattr(given, part), rows)
    outputs = {part: getattr(given, part) for part in pool}
    facts = provenance(given.settings, dict(given.sources), outputs=outputs)
    write_json(given.manifest, manifest | {"provenance": facts})
    leaks = sum(manifest["leakage"]["same_prompt"].values())
    sizes = ", ".join(f"{len(rows)} {part}" for part, rows in pool.items())
    if experiment.leakage == "allow":
        print(f"WARNING: {leaks} validation or test prompts stand in training sources of {name} (leakage: allow).")
    left_out = 0 if experiment.leakage == "allow" else leaks
    print(f"pool of {name}: {sizes} rows; {left_out} training rows left out as leaks")


if __name__ == "__main__":
    run(main)
