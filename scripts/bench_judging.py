"""Measure how long judging takes with a judge of fixed latency, for one model and for ten in one go.

bench_judging.py --csv OUT.csv
"""

import sys

from scalebio.cli import run


def main() -> None:
    """Measure every case several times, each in a process of its own; write the table."""
    import argparse
    import json

    from scalebio.bench import judging

    serve = [sys.executable, __file__, "--serve"]
    if sys.argv[1:2] == ["--serve"]:
        return judging.serve()
    if sys.argv[1:2] == ["--child"]:
        return print(json.dumps(judging.measure(int(sys.argv[2]), serve)))
    import pandas as pd

    from scalebio.bench.child import run_child
    from scalebio.files import write_text
    from scalebio.provenance import write_beside

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", required=True, metavar="FILE")
    arguments = parser.parse_args()
    rows = []
    for models in judging.MODELS:
        rounds = []
        for _ in range(judging.ROUNDS):
            rounds.append(run_child(__file__, models, what=f"judging of {models} models"))
            print(rounds[-1], flush=True)
        rows.append(min(rounds, key=lambda row: row["seconds"]))
    table = pd.DataFrame(rows, columns=judging.COLUMNS)
    write_text(arguments.csv, table.to_csv(index=False, float_format="%.4g", lineterminator="\n"))
    write_beside(arguments.csv, {}, {})


if __name__ == "__main__":
    run(main)
