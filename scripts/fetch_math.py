"""Bring one benchmark's questions here, in one form, so that the jobs that ask them need no network.

--settings: {"benchmark": "gsm8k", "origin": its entry in the study file, "offline_data": folder or null}
Writes the questions (JSONL) and the manifest with their origin, hash and provenance (JSON).
"""

from pathlib import Path

from scalebio import hub_data, records
from scalebio.cli import parser, run
from scalebio.files import write_json, write_jsonl
from scalebio.maths import benchmarks
from scalebio.maths.settings import Fetched
from scalebio.mtbench.settings import checked
from scalebio.provenance import provenance, sha256


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--output", type=Path, required=True, help="questions.jsonl")
    arguments.add_argument("--manifest", type=Path, required=True, help="JSON file with origin, hash and provenance")
    given = arguments.parse_args()
    settings = checked(Fetched, given.settings)
    what, origin = f"evaluations.math.benchmarks.{settings.benchmark}", settings.origin
    if origin.hub and not settings.offline_data:
        rows, commit = hub_data.rows(origin.hub, what)
        place = f"{origin.hub.id} at {commit}"
        where, inputs = {"kind": "hub", **origin.hub.model_dump(), "revision": commit}, {}
    else:
        file = Path(settings.offline_data, origin.local) if origin.hub else Path(origin.file)
        rows, place = records.raw_rows(file, what), str(file)
        where, inputs = {"kind": "file", "path": origin.file or origin.local}, {"file": file}
    asked = benchmarks.questions(settings.benchmark, rows, place)
    write_jsonl(given.output, asked)
    facts = {"benchmark": settings.benchmark, "questions": len(asked), "sha256": sha256(given.output), "origin": where}
    outputs = {"questions": given.output}
    write_json(given.manifest, facts | {"provenance": provenance(given.settings, inputs, outputs=outputs)})
    print(f"{settings.benchmark}: {len(asked)} questions of {place}")


if __name__ == "__main__":
    run(main)
