"""Learn the weights of one planted task with one seed under every choice of semantics.

Settings: task, seed. The task is made here.
"""

from scalebio import cli


def main() -> None:
    """Measure and write a table of one row a variant."""
    import pandas as pd

    from scalebio import semantics_runs
    from scalebio.files import write_text
    from scalebio.progress import Progress
    from scalebio.provenance import write_beside

    options = cli.parser(__doc__)
    options.add_argument("--csv", required=True, metavar="FILE", help="table to write")
    arguments = options.parse_args()
    task, seed = arguments.settings["task"], arguments.settings["seed"]
    progress, rows = Progress(f"semantics {task} seed {seed}"), []
    for row in semantics_runs.measure(task, seed):
        rows.append(row)
        progress(len(rows), len(semantics_runs.variants()), f"{row['variant']}: tv {row['tv']:.3f}")
    write_text(arguments.csv, pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))
    write_beside(arguments.csv, arguments.settings, {})


if __name__ == "__main__":
    cli.run(main)
