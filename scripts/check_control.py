"""Hold the weights of one control against its known outcome, and write the verdict.

Settings: experiment (name), kind, sources (as in its `control`), methods (those that learn), tolerance.
Exits with status 0 whatever the verdict: what a failed gate stops is decided by clear_gate.py.
"""

from pathlib import Path

from scalebio.cli import parser, run


def main() -> None:
    from scalebio.files import write_json
    from scalebio.gates import controls
    from scalebio.provenance import provenance
    from scalebio.tables import tidy

    options = parser(__doc__)
    options.add_argument("--weights", type=Path, required=True, help="the table `weights` (CSV)")
    options.add_argument("--output", type=Path, required=True, help="verdict to write (JSON)")
    given = options.parse_args()
    settings = given.settings
    table = tidy.read_csv(given.weights, ["experiment", "method", "seed", "source", "weight"])
    table = table[table["method"].isin(settings["methods"])]
    found = controls.check(settings["experiment"], settings["kind"], settings["sources"], table, settings["tolerance"])
    write_json(given.output, found | {"provenance": provenance(settings, {"weights": given.weights})})
    print(f"control {settings['experiment']}: {found['verdict']}; {found['what']}")


if __name__ == "__main__":
    run(main)
