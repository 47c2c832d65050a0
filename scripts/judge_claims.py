"""Hold every claim of the paper against the tables of a study: claims.csv, and claims.md and claims.tex to read.

    judge_claims.py CLAIMS.yaml --settings JSON --csv OUT.csv --markdown OUT.md --latex OUT.tex

Settings: study (name), tables (name → path, as far as the study has them), experiments (name → {model, hub: its id or null,
methods, learning: those that learn, weights_from: experiment or null}).
"""

from scalebio import cli


def main() -> None:
    """Read claims and tables, judge, write both outputs."""
    from scalebio import files
    from scalebio.claims import judging, listing, page
    from scalebio.claims.measures import Study
    from scalebio.provenance import write_beside

    parser = cli.parser(__doc__)
    parser.add_argument("claims", metavar="FILE", help="the list of claims")
    parser.add_argument("--csv", required=True, metavar="FILE", help="tidy table to write")
    parser.add_argument("--markdown", required=True, metavar="FILE", help="readable page to write")
    parser.add_argument("--latex", required=True, metavar="FILE", help="the same as LaTeX, to be input")
    arguments = parser.parse_args()

    settings = arguments.settings
    study = Study(settings["study"], settings["experiments"], settings["tables"])
    frame = judging.rows(listing.load(arguments.claims), study)
    files.write_text(arguments.csv, frame.to_csv(index=False, lineterminator="\n"))
    readable = page.page(frame)
    files.write_text(arguments.markdown, readable.markdown())
    files.write_text(arguments.latex, readable.latex("claims"))
    read = {"claims": arguments.claims} | settings["tables"]
    write_beside(arguments.csv, settings, read, md=arguments.markdown, tex=arguments.latex)


if __name__ == "__main__":
    cli.run(main)
