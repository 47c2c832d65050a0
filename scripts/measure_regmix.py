"""RegMix's regression on RegMix's public tables, whose folder is the one argument: rank correlation and regret.

Prints a table in Markdown; some two minutes of one core. Numbers: docs/measured.md.
"""

from scalebio.cli import parser, run


def main() -> None:
    """Fit, judge and print."""
    options = parser(__doc__)
    options.add_argument("folder", help="with train_mixture_1m.csv, test_pile_loss_1B.csv and so on")
    arguments = options.parse_args()

    from scalebio import regmix_tables

    table = regmix_tables.measure(arguments.folder)
    print(table.to_markdown(index=False, floatfmt=".4f"))


if __name__ == "__main__":
    run(main)
