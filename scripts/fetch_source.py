"""Make one data source: read or generate its rows, filter, take a part, draw, and spoil answers where asked.

--settings: {"name": source's name, "source": its entry in the study file, "offline_data": folder or null}
Writes the records (Parquet) and the manifest with counts, hashes, origin and provenance (JSON).
"""

from pathlib import Path

from pydantic import ValidationError

from scalebio import records, sources
from scalebio.cli import parser, run
from scalebio.config import Source
from scalebio.errors import UserError
from scalebio.files import write_json
from scalebio.provenance import provenance


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--output", type=Path, required=True, help="Parquet file of records")
    arguments.add_argument("--manifest", type=Path, required=True, help="JSON file with counts, hashes and origin")
    given = arguments.parse_args()
    name = given.settings["name"]
    try:
        source = Source.model_validate(given.settings["source"])
    except ValidationError as error:
        raise UserError(f"source `{name}`: {error}") from error
    offline_data = given.settings.get("offline_data")
    rows, manifest = sources.load(name, source, offline_data)
    records.write(given.output, rows)
    file = sources.local_file(source, offline_data)
    facts = provenance(given.settings, {"file": file} if file else {}, outputs={"records": given.output})
    write_json(given.manifest, manifest | {"provenance": facts})
    left_out = manifest["dropped_unanswered"] + manifest["dropped_long"]
    print(f"source {name}: {len(rows)} rows, {left_out} left out by filters, {manifest['corrupted_rows']} spoiled")


if __name__ == "__main__":
    run(main)
