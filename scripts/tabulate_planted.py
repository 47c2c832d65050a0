"""Gather the measurements of planted tasks into one tidy table, a readable summary and a figure.

tabulate_planted.py ROWS.json … --csv OUT.csv --markdown OUT.md --pdf OUT.pdf --png OUT.png
"""

from scalebio import cli


def main() -> None:
    """Read what measure_planted.py wrote, in the given order."""
    import json
    from pathlib import Path

    from scalebio.figures import house, planted
    from scalebio.files import write_text
    from scalebio.provenance import numbered, write_beside
    from scalebio.tables import planted as table

    options = cli.parser(__doc__)
    options.add_argument("rows", nargs="+", metavar="FILE", help="outputs of measure_planted.py")
    for name in ("csv", "markdown", "pdf", "png"):
        options.add_argument(f"--{name}", required=True, metavar="FILE", help=f"the {name} file to write")
    arguments = options.parse_args()

    frame = table.tidy([row for path in arguments.rows for row in json.loads(Path(path).read_text())["rows"]])
    write_text(arguments.csv, frame.to_csv(index=False, lineterminator="\n"))
    write_text(arguments.markdown, table.summary(frame).markdown())
    with house.style():
        house.save(planted.draw(frame, {}), arguments.pdf, arguments.png)
    made = {kind: getattr(arguments, kind) for kind in ("markdown", "pdf", "png")}
    write_beside(arguments.csv, {}, numbered(arguments.rows, "runs"), **made)


if __name__ == "__main__":
    cli.run(main)
