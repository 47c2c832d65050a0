"""Draw one figure of a study from one tidy table, or several of the same columns, as PDF and PNG in the house style.

    draw_figure.py NAME --table TABLE.csv ... --settings JSON --pdf OUT.pdf --png OUT.png

NAME (its table): weights (trajectories), final_weights (weights), test_loss (test_loss), training_curves
(training_curves), math (math), method_comparison (method_comparison), ablations (ablations),
weights_by_model (weights), mtbench and mtbench_radar (mtbench), mtbench_differences (mtbench_differences), mtbench_repeats
(mtbench_repeats), mixtures (mixtures), hypergradient and growth (results/<name>/<name>.csv), semantics
(results/semantics/runs/*.csv), bench (results/bench/step.csv), memory_check (results/memory/check.csv).

Settings:
    {"study": "demo", "experiment": "denoising", "sources": [order], "corruption": {SOURCE: RATE} | null,
     "expected": {SOURCE: SHARE} | null, "stage": "finetuning" | "reweighting", "rows": 1920, "validation_bootstrap": false,
     "groups": [[{"experiment": NAME, "model": NAME, "method": NAME}, ...], ...]}

`study` stands in the corner of every figure. weights and final_weights show one `experiment`, which must be set, and
its `sources` in that order; `corruption` and `expected` serve weights,
`stage` training_curves, `groups` weights_by_model: the experiments on the same sources, model by model. `rows` of the mixture and
`validation_bootstrap` say what intervals of weights are computed from and cover. Same input, same bytes.
"""

from scalebio import cli


def main() -> None:
    """Read the table, draw, save both files."""
    import importlib

    import pandas as pd

    from scalebio.figures import CHECKS, NAMES, house
    from scalebio.provenance import numbered, write_beside
    from scalebio.tables import tidy

    parser = cli.parser(__doc__)
    parser.add_argument("name", choices=[*NAMES, *CHECKS], help="which figure")
    parser.add_argument(
        "--table", nargs="+", required=True, metavar="CSV", help="the tidy table it shows, or its parts"
    )
    parser.add_argument("--pdf", required=True, metavar="FILE", help="vector file to write")
    parser.add_argument("--png", required=True, metavar="FILE", help="raster file to write, 200 dots per inch")
    arguments = parser.parse_args()

    # By name, so that a figure depends on its own module only and editing one redraws one.
    module = importlib.import_module(f"scalebio.figures.{arguments.name}")
    parts = [tidy.read_csv(path, module.COLUMNS, text=getattr(module, "TEXT", ())) for path in arguments.table]
    table = pd.concat(parts, ignore_index=True)
    with house.style():
        house.save(module.draw(table, arguments.settings), arguments.pdf, arguments.png)
    settings = {"figure": arguments.name, **arguments.settings}
    tables = numbered(arguments.table, "table") if len(parts) > 1 else {"table": arguments.table[0]}
    write_beside(arguments.png, settings, tables, pdf=arguments.pdf)


if __name__ == "__main__":
    cli.run(main)
