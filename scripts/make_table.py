"""Make one tidy table of a study: a CSV file and beside it what a reader wants of it, in Markdown and in LaTeX.

    make_table.py NAME --settings JSON --csv OUT.csv --markdown OUT.md --latex OUT.tex

NAME: one of `ABOUT_TABLES` in workflow/rules/catalogue.smk.

Settings:
    {"runs": [{"experiment": "denoising", "method": "scalebio", "seed": 0, "trajectory": PATH, "weights": PATH,
               "metrics": PATH, "training": PATH, "mixture": PATH, "math": PATH}, ...],
     "experiments": {"denoising": {"sources": [...], "corruption": {SOURCE: RATE} | null,
                                   "expected": {SOURCE: SHARE} | null, "rows": 1920, "validation_bootstrap": false,
                                   "runs": [{"model_id": NAME, "method": "scalebio", "seed": 0}, ...],
                                   "scores": PATH, "differences": PATH, "judgments": PATH,
                                   "math_differences": PATH}},
     "pairs": [{"from": EXPERIMENT, "model": NAME, "for_model": NAME, "methods": [...], "own": EXPERIMENT | null,
                "transferred": EXPERIMENT | null}, ...],
     "stages": [{"stage": "weights", "path": BENCHMARK}, ...],
     "verdicts": [PATH, ...], "fatal": [GATE, ...]}

What each table reads of a run stands in `LOADERS` of scripts/scalebio/tables/inputs.py; a run without it is left out, and further
keys are ignored. `experiments` serves weights and weight_intervals (what was planted, rows of the mixture, what seeds vary),
method_comparison (expected, baseline, oracle; with `epochs`) and the tables of which an experiment has one file: mtbench reads its
scores, mtbench_differences its differences, mtbench_repeats its judgments, math_differences its math_differences. `pairs` serves
transfer, `stages` costs, `verdicts` and `fatal` gates, `variations` (rows of scalebio/varied.py) ablations, `predictions` [PATH, ...]
memory, and `manifests` {SOURCE: PATH}, `sources` {SOURCE: what the study says of it} and their `order` sources.
"""

from scalebio import cli


def main() -> None:
    """Read the files the settings list, build the table, write all outputs."""
    from scalebio import files
    from scalebio.provenance import write_beside
    from scalebio.tables import inputs, summary

    parser = cli.parser(__doc__)
    parser.add_argument("name", choices=sorted(inputs.LOADERS), help="which table")
    parser.add_argument("--csv", required=True, metavar="FILE", help="tidy table to write")
    parser.add_argument("--markdown", required=True, metavar="FILE", help="readable summary to write")
    parser.add_argument("--latex", required=True, metavar="FILE", help="the same as LaTeX, to be input")
    arguments = parser.parse_args()

    frame = inputs.build(arguments.name, arguments.settings)
    readable = summary.render(arguments.name, frame)
    files.write_text(arguments.csv, frame.to_csv(index=False, lineterminator="\n"))
    files.write_text(arguments.markdown, readable.markdown())
    files.write_text(arguments.latex, readable.latex(arguments.name))
    read = {path: path for path in inputs.paths(arguments.settings)}
    write_beside(arguments.csv, arguments.settings, read, md=arguments.markdown, tex=arguments.latex)


if __name__ == "__main__":
    cli.run(main)
