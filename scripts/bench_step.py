"""Measure what one outer step costs, against the released code's step written plainly: CPU time and peak memory.

    bench_step.py --csv OUT.csv --markdown OUT.md [--shape NAME=all|main ...]

`all` are the released step, every idea by itself on top of those before it, and ours; `main` only the two ends and ours
with frozen embeddings. Without `--shape`: 6x256=all gpt2-small=main.
"""

import sys

from scalebio.cli import run


def main() -> None:
    """Measure, write the table and its readable twin."""
    import argparse
    import json

    if sys.argv[1:2] == ["--child"]:
        from scalebio.bench.measure import measure

        shape, variant, first, count = sys.argv[2:]
        print(json.dumps(measure(shape, variant, int(first), int(count))))
        return

    from scalebio.bench import table, variants
    from scalebio.files import write_text
    from scalebio.provenance import write_beside

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for output in ("csv", "markdown"):
        parser.add_argument(f"--{output}", required=True, metavar="FILE")
    parser.add_argument("--shape", action="append", type=variants.wanted, metavar="NAME=all|main")
    parser.add_argument("--rounds", type=int, default=2, help="how often all variants are gone through")
    parser.add_argument("--steps", type=int, default=2, help="measured steps in each round")
    arguments = parser.parse_args()
    asked = dict(arguments.shape or [variants.wanted("6x256=all"), variants.wanted("gpt2-small=main")])
    found = table.run(asked, arguments.rounds, arguments.steps, progress=lambda text: print(text, flush=True))
    write_text(arguments.csv, found.to_csv(index=False, float_format="%.4f", lineterminator="\n"))
    write_text(arguments.markdown, table.summary(found).markdown())
    settings = {"shapes": asked, "rounds": arguments.rounds, "steps": arguments.steps}
    write_beside(arguments.csv, settings, {}, markdown=arguments.markdown)


if __name__ == "__main__":
    run(main)
