"""Write the report of a study: one HTML page with its tables and figures inside, which opens without a network.

    make_report.py --settings JSON --captions FOLDER --output report.html      (and report.provenance.json)

Settings (all paths as seen from the working directory):
    {"study": "demo", "results": "results/demo", "question": TEXT | null,
     "experiments": [{"name": "denoising", ...}, ...], "references": {...}, "models": {...}: as in the study file,
     "sources": [{"name": NAME, "path": "results/demo/sources/NAME.json"}, ...],
     "pools": [{"name": EXPERIMENT, "path": ".../pool.json"}, ...], "runs": [".../weights.json", ...],
     "tables": {NAME: {"path": CSV, "about": TEXT}, ...},
     "figures": [{"path": PNG, "about": TEXT, "caption": NAME, "table": NAME, "experiment": NAME | left out}, ...]}

Experiments, sources and figures are shown in the order given; tables where `scalebio/report/sections.py` says.
"""

from scalebio import cli


def main() -> None:
    """Read what the settings list, render the page, write it."""
    from scalebio import files
    from scalebio.provenance import write_beside
    from scalebio.report import page

    parser = cli.parser(__doc__)
    parser.add_argument("--captions", required=True, metavar="FOLDER", help="captions of figures, <name>.rst")
    parser.add_argument("--output", required=True, metavar="FILE", help="the page to write")
    arguments = parser.parse_args()
    settings = arguments.settings
    files.write_text(arguments.output, page.build(settings, arguments.captions))
    shown = [*settings["tables"].values(), *settings["figures"], *settings["sources"], *settings["pools"]]
    read = [*(entry["path"] for entry in shown), *settings["runs"]]
    write_beside(arguments.output, settings, {path: path for path in read})


if __name__ == "__main__":
    cli.run(main)
