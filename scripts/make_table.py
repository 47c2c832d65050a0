"""Make one tidy table of a study: a CSV file and a readable Markdown summary beside it.

    make_table.py NAME --settings JSON [--inputs FILE ...] --csv OUT.csv --markdown OUT.md

NAME: trajectories, weights, test_loss, training_curves, mtbench, mixtures, costs.

Settings:
    {"runs": [{"experiment": "denoising", "method": "scalebio", "seed": 0, "trajectory": PATH, "weights": PATH,
               "metrics": PATH, "training": PATH, "scores": PATH, "mixture": PATH}, ...],
     "experiments": {"denoising": {"sources": [...], "corruption": {SOURCE: RATE} | null,
                                   "expected": {SOURCE: SHARE} | null}},
     "baseline": "uniform",
     "stages": [{"stage": "weights", "path": BENCHMARK}, ...]}

A run needs only the paths that the table reads (trajectories: trajectory; weights: weights; test_loss: metrics;
training_curves: training and trajectory; mtbench: scores; mixtures: mixture); a run without one is left out, and
further keys are ignored. `experiments` serves weights, `baseline` (that default) test_loss, `stages` only costs.
Where `--inputs` is given it must list every file read, so that a rule cannot forget to declare one.
"""

from scalebio import cli


def main() -> None:
    """Read the files the settings list, build the table, write both outputs."""
    from scalebio import files
    from scalebio.errors import UserError
    from scalebio.tables import inputs, summary

    parser = cli.parser(__doc__)
    parser.add_argument("name", choices=sorted(inputs.LOADERS), help="which table")
    parser.add_argument("--inputs", nargs="*", metavar="FILE", help="the files declared as input of the job")
    parser.add_argument("--csv", required=True, metavar="FILE", help="tidy table to write")
    parser.add_argument("--markdown", required=True, metavar="FILE", help="readable summary to write")
    arguments = parser.parse_args()

    needed = inputs.paths(arguments.name, arguments.settings)
    undeclared = sorted(set(needed) - set(arguments.inputs)) if arguments.inputs is not None else []
    if undeclared:
        raise UserError(f"--settings names files that are not among --inputs: {', '.join(undeclared)}")
    frame = inputs.build(arguments.name, arguments.settings)
    markdown = summary.render(arguments.name, frame, arguments.settings)
    files.write_text(arguments.csv, frame.to_csv(index=False, lineterminator="\n"))
    files.write_text(arguments.markdown, markdown)


if __name__ == "__main__":
    cli.run(main)
