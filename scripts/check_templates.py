"""Compare tokenizer and chat template of all stages of an experiment's runs, and write the verdict.

Settings: experiment (name), runs: {run: {stage: JSON file with provenance}}; the stage `model` is what the others are held against.
Exits with status 0 whatever the verdict: what a failed gate stops is decided by clear_gate.py.
"""

from pathlib import Path

from scalebio.cli import parser, run
from scalebio.files import read_json, write_json
from scalebio.gates import identity
from scalebio.provenance import provenance


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--output", type=Path, required=True, help="verdict to write (JSON)")
    given = options.parse_args()
    files = given.settings["runs"]
    runs = {
        run: {stage: read_json(path)["provenance"] for stage, path in stages.items()} for run, stages in files.items()
    }
    found = identity.check(given.settings["experiment"], runs)
    inputs = {f"{run} {stage}": path for run, stages in files.items() for stage, path in stages.items()}
    write_json(given.output, found | {"provenance": provenance(given.settings, inputs)})
    print(f"template in {given.settings['experiment']}: {found['verdict']}; {found['what']}")


if __name__ == "__main__":
    run(main)
