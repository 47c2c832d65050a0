"""Show, for every job of a study, the exact `sbatch` line that `snakemake --profile slurm` would use; submits nothing.

    python scripts/sbatch_lines.py [--configfile config/STUDY.yaml ...]

What is not named below goes to Snakemake: targets, --configfile, --config, --set-resources, another --profile, ...
The words after --rerun-triggers and --shared-fs-usage are sets, which Snakemake writes in another order each time; with
PYTHONHASHSEED=0 before both commands the lines are equal to the letter, apart from what is shown as zeros.
"""

from scalebio.cli import run


def main() -> None:
    """Collect the lines and print them."""
    import argparse
    import dataclasses
    import json
    import sys

    from scalebio.slurm import lines, show_lines

    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    options.add_argument("--needed", action="store_true", help="only jobs that would run now, not all of the study")
    options.add_argument("--attempt", type=int, default=1, metavar="N", help="as at the N-th try of every job (1)")
    options.add_argument("--full", action="store_true", help="each line whole, ready to be copied")
    options.add_argument(
        "--json", action="store_true", help="for programs: jobs with their lines, and local jobs by rule"
    )
    arguments, others = options.parse_known_args()
    if not any(other == "--profile" or other.startswith("--profile=") for other in others):
        others = ["--profile", "slurm", *others]
    study = lines.collect(others, arguments.needed, arguments.attempt)
    if arguments.json:
        print(json.dumps(dataclasses.asdict(study), indent=2, ensure_ascii=False))
    else:
        print(show_lines.text(study, arguments.full), end="")
    if any(line.fault for line in study.lines):
        sys.exit(1)


if __name__ == "__main__":
    run(main)
