"""Try the gradient-match check on right and wrong shares of planted tasks: one row a check, hit rates and AUC.

Settings: seeds (a list). The tasks and the shares stand in scalebio/planted_checks.py.
"""

from scalebio import cli


def main() -> None:
    """Measure; write the rows as CSV and the summary as JSON."""
    import pandas as pd

    from scalebio import planted_checks
    from scalebio.files import write_json, write_text
    from scalebio.provenance import provenance

    options = cli.parser(__doc__)
    options.add_argument("--csv", required=True, metavar="FILE", help="one row a check")
    options.add_argument(
        "--summary", required=True, metavar="FILE", help="JSON: hit rates and AUC, by task and over all"
    )
    arguments = options.parse_args()
    rows = planted_checks.measure(arguments.settings["seeds"], lambda text: print(text, flush=True))
    write_text(arguments.csv, pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))
    made = provenance(arguments.settings, {}, outputs={"csv": arguments.csv})
    write_json(arguments.summary, planted_checks.summary(rows) | {"provenance": made})


if __name__ == "__main__":
    cli.run(main)
