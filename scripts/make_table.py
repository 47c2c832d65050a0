"""Make one tidy table of a study: a CSV file and a readable Markdown summary beside it.

    make_table.py NAME --settings JSON --csv OUT.csv --markdown OUT.md

NAME: trajectories, weights, test_loss, training_curves, math, math_differences, mtbench, mtbench_differences,
mtbench_repeats, mixtures, transfer, method_comparison, costs.

Settings:
    {"runs": [{"experiment": "denoising", "method": "scalebio", "seed": 0, "trajectory": PATH, "weights": PATH,
               "metrics": PATH, "training": PATH, "mixture": PATH, "math": PATH}, ...],
     "experiments": {"denoising": {"sources": [...], "corruption": {SOURCE: RATE} | null,
                                   "expected": {SOURCE: SHARE} | null,
                                   "runs": [{"model_id": NAME, "method": "scalebio", "seed": 0}, ...],
                                   "scores": PATH, "differences": PATH, "judgments": PATH,
                                   "math_differences": PATH}},
     "pairs": [{"from": EXPERIMENT, "model": NAME, "for_model": NAME, "methods": [...], "own": EXPERIMENT | null,
                "transferred": EXPERIMENT | null}, ...],
     "stages": [{"stage": "weights", "path": BENCHMARK}, ...]}

A run needs only the paths that the table reads (trajectories: trajectory and weights; weights: weights; test_loss: metrics;
training_curves: training and trajectory; mixtures: mixture; math: math; transfer: weights and metrics); a run without one is
left out, and further keys are ignored.
`experiments` serves weights (what was planted) and the tables of which an experiment has one file:
mtbench reads its scores, mtbench_differences its differences, mtbench_repeats its judgments, math_differences its
math_differences. `pairs` serves transfer, `stages` costs only; method_comparison reads weights, metrics and mixture,
`experiments` with expected, baseline and oracle, and `epochs`.
"""

from scalebio import cli


def main() -> None:
    """Read the files the settings list, build the table, write both outputs."""
    from scalebio import files
    from scalebio.tables import inputs, summary

    parser = cli.parser(__doc__)
    parser.add_argument("name", choices=sorted(inputs.LOADERS), help="which table")
    parser.add_argument("--csv", required=True, metavar="FILE", help="tidy table to write")
    parser.add_argument("--markdown", required=True, metavar="FILE", help="readable summary to write")
    arguments = parser.parse_args()

    frame = inputs.build(arguments.name, arguments.settings)
    markdown = summary.render(arguments.name, frame)
    files.write_text(arguments.csv, frame.to_csv(index=False, lineterminator="\n"))
    files.write_text(arguments.markdown, markdown)


if __name__ == "__main__":
    cli.run(main)
