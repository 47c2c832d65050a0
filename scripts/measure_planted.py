"""Measure every weighting method on one planted task with one seed: weights, distance from the truth, regret, cost.

Settings: task (denoise5, lang, pref4, pref631, pref73, conf73, skill2), base (poor, better), seed. The task is made here.
"""

from scalebio import cli


def main() -> None:
    """Measure and write {"rows": [one a method]}."""
    from scalebio import planted_runs
    from scalebio.files import write_json
    from scalebio.provenance import provenance

    options = cli.parser(__doc__)
    options.add_argument("--output", required=True, metavar="FILE", help="JSON file to write")
    arguments = options.parse_args()
    task, base, seed = (arguments.settings[key] for key in ("task", "base", "seed"))
    rows = planted_runs.measure(task, base, seed, lambda text: print(text, flush=True))
    write_json(arguments.output, {"rows": rows, "provenance": provenance(arguments.settings, {})})


if __name__ == "__main__":
    cli.run(main)
