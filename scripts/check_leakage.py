"""Look for validation, test and benchmark questions in what a model is trained on, and write the verdict.

Settings: experiment (name), words, similarity (as in the study's `gates`).
Exits with status 0 whatever the verdict: what a failed gate stops is decided by clear_gate.py.
"""

from pathlib import Path

from scalebio import records
from scalebio.cli import parser, run
from scalebio.files import read_jsonl, write_json
from scalebio.gates import leakage
from scalebio.provenance import provenance


def main() -> None:
    options = parser(__doc__)
    for part in ("train", "validation", "test"):
        options.add_argument(f"--{part}", type=Path, required=True, help=f"the pool's {part}.parquet")
    options.add_argument("--mtbench", type=Path, help="questions.jsonl of MT-Bench, where the experiment asks them")
    options.add_argument("--math", type=Path, nargs="*", default=[], help="questions.jsonl of each benchmark")
    options.add_argument("--output", type=Path, required=True, help="verdict to write (JSON)")
    given = options.parse_args()
    settings = given.settings
    inputs = {part: getattr(given, part) for part in ("train", "validation", "test")}
    pool = [leakage.rows(part, records.read(path)) for part, path in inputs.items()]
    benchmarks = [leakage.mathematics(read_jsonl(path)) for path in given.math]
    inputs |= {path.stem: path for path in given.math}
    if given.mtbench:
        inputs["mtbench"] = given.mtbench
        asked = leakage.mtbench(read_jsonl(given.mtbench))
        benchmarks += [asked] if asked else []
    found = leakage.check(settings["experiment"], pool, benchmarks, settings["words"], settings["similarity"])
    write_json(given.output, found | {"provenance": provenance(settings, inputs)})
    print(f"leakage in {settings['experiment']}: {found['verdict']}; {found['what']}")


if __name__ == "__main__":
    run(main)
