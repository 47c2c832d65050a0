"""Predict the peak memory of small training runs, make them, each in processes of its own, and hold both against each other.

    measure_memory.py --csv OUT.csv [--run NAME ...]

Without `--run` all of them (`memory_check.RUNS`). Resident memory, in MB of a million bytes, of a CPU.
"""

import sys

from scalebio.cli import run


def main() -> None:
    """Measure every run in turn; write the table."""
    import argparse
    import json

    from scalebio import memory_check

    if sys.argv[1:2] == ["--child"]:
        if found := memory_check.child(sys.argv[2]):
            print(json.dumps(found))
        return

    import pandas as pd

    from scalebio.files import write_text
    from scalebio.provenance import write_beside

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", required=True, metavar="FILE")
    parser.add_argument("--run", action="append", choices=memory_check.RUNS, metavar="NAME")
    arguments = parser.parse_args()
    rows = []
    for name in arguments.run or memory_check.RUNS:
        rows.append(memory_check.row(memory_check.RUNS[name]))
        seen = {key: round(value, 2) for key, value in rows[-1].items() if isinstance(value, float)}
        print(name, seen, flush=True)
    table = pd.DataFrame(rows, columns=memory_check.COLUMNS)
    write_text(arguments.csv, table.to_csv(index=False, float_format="%.4g", lineterminator="\n"))
    write_beside(arguments.csv, {"runs": [row["run"] for row in rows]}, {})


if __name__ == "__main__":
    run(main)
