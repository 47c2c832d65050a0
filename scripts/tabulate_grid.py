"""Gather the trained grids into one table of regrets and one figure of the loss surfaces.

tabulate_grid.py RUNS.csv … --csv OUT.csv --markdown OUT.md --latex OUT.tex --pdf OUT.pdf --png OUT.png
"""

from scalebio import cli


def main() -> None:
    """Read what measure_grid.py wrote, in the given order."""
    import pandas as pd

    from scalebio.figures import grid, house
    from scalebio.files import write_text
    from scalebio.provenance import numbered, write_beside
    from scalebio.tables import grid as table
    from scalebio.tables import tidy

    options = cli.parser(__doc__)
    options.add_argument("runs", nargs="+", metavar="FILE", help="outputs of measure_grid.py")
    for name in ("csv", "markdown", "latex", "pdf", "png"):
        options.add_argument(f"--{name}", required=True, metavar="FILE", help=f"the {name} file to write")
    arguments = options.parse_args()

    runs = pd.concat([tidy.read_csv(path, table.RUNS) for path in arguments.runs], ignore_index=True)
    frame = table.table(runs)
    write_text(arguments.csv, frame.to_csv(index=False, lineterminator="\n"))
    readable = table.readable(frame)
    write_text(arguments.markdown, readable.markdown())
    write_text(arguments.latex, readable.latex("grid_regret"))
    with house.style():
        house.save(grid.draw(runs, {}), arguments.pdf, arguments.png)
    made = {kind: getattr(arguments, kind) for kind in ("markdown", "latex", "pdf", "png")}
    write_beside(arguments.csv, {}, numbered(arguments.runs, "runs"), **made)


if __name__ == "__main__":
    cli.run(main)
