"""Measure how an outer step's CPU time and memory grow with sources, example length and model width.

bench_growth.py --csv OUT.csv
"""

import sys

from scalebio.cli import run


def main() -> None:
    """Measure every setting in a process of its own; write the table."""
    import argparse
    import json

    import pandas as pd

    from scalebio.bench import growth
    from scalebio.bench.child import run_child
    from scalebio.files import write_text
    from scalebio.progress import Progress
    from scalebio.provenance import write_beside

    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(growth.measure(*map(int, sys.argv[2:]))))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", required=True, metavar="FILE")
    arguments = parser.parse_args()
    rows, asked, progress = [], growth.settings(), Progress("growth")
    for setting in asked:
        values = [setting[name] for name in growth.PLAIN]
        rows.append(setting | run_child(__file__, *values, what=f"growth by {setting['varied']}"))
        progress(len(rows), len(asked), f"{setting['varied']} {setting[setting['varied']]}")
    write_text(arguments.csv, pd.DataFrame(rows).to_csv(index=False, float_format="%.5g", lineterminator="\n"))
    write_beside(arguments.csv, {}, {})


if __name__ == "__main__":
    run(main)
