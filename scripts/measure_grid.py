"""Train one planted task on every mixture of a simplex lattice and on every method's weights.

Settings: task (of `planted.TASKS`), seed (draws its rows and base), parts (shares of the lattice are multiples of 1 / parts). The
journal keeps what is done, so that a killed run, or one on a finer lattice, goes on from there.
"""

import sys
from pathlib import Path

from scalebio import cli


def main() -> None:
    """Measure and write one row a training run."""
    options = cli.parser(__doc__)
    options.add_argument("--csv", required=True, metavar="FILE", help="table to write")
    options.add_argument("--journal", required=True, metavar="FILE", help="pieces done so far, kept between runs")
    arguments = options.parse_args()
    cli.claim(arguments.csv)

    import pandas as pd

    from scalebio import planted_grid
    from scalebio.dependencies import code_files
    from scalebio.files import write_text
    from scalebio.journal import Journal
    from scalebio.progress import Progress
    from scalebio.provenance import write_beside

    task, seed, parts = (arguments.settings[key] for key in ("task", "seed", "parts"))
    code = code_files(Path(sys.argv[0]))
    with Journal(arguments.journal) as pieces:
        rows = planted_grid.measure(task, seed, parts, pieces, code, Progress(f"grid {task}"))
    write_text(arguments.csv, pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))
    write_beside(arguments.csv, arguments.settings, {})


if __name__ == "__main__":
    cli.run(main)
