"""Try one thing that training needs of a cluster, or read the verdict off what was tried.

Settings: trial (cpu, gpu or collective), or nothing with --results.
"""

import os
import socket
import sys
import time
from pathlib import Path

from scalebio.cli import first_process, parser, run
from scalebio.errors import UserError
from scalebio.files import read_json, write_json
from scalebio.slurm import smoke


def main() -> None:
    """Write what was found; with --results print the verdict, and fail if it is bad."""
    options = parser(__doc__)
    options.add_argument("--results", nargs="+", type=Path, help="what the trials wrote")
    options.add_argument("--output", type=Path, help="JSON of a trial")
    arguments = options.parse_args()
    if arguments.results:
        good, text = smoke.verdict({path.stem: read_json(path) for path in arguments.results})
        print(text)
        if not good:
            # So that the next time is a new trial, as it is after a good one.
            for path in arguments.results:
                path.unlink()
            raise UserError("the cluster is not ready for training; see above.")
        return
    start = time.monotonic()
    rows = smoke.TRIALS[arguments.settings["trial"]]()
    if first_process():
        facts = {"host": socket.gethostname(), "job": os.environ.get("SLURM_JOB_ID"), "python": sys.executable}
        write_json(arguments.output, facts | {"seconds": time.monotonic() - start, "rows": rows})


if __name__ == "__main__":
    run(main)
