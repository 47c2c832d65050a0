"""Audit a study before a GPU-hour is spent: what would run and why, whether it fits, what it costs, and what would fail.

    python scripts/audit.py [--configfile config/STUDY.yaml ...] [--explain FILE | --document FILE]

Writes results/STUDY/audit.{md,json,html} and prints the verdict with what would fail. Exit status: 0 if nothing stands in the way, 1
if anything would fail, 2 if results are there that would be made again; with --explain 2 if that file is stale, else 0. What is
not named below goes to Snakemake: targets, --configfile, --config, --sdm, ... Needs no GPU and no network, and downloads nothing.
Settings: config, the merged configuration of the study, instead of --configfile.
"""

import sys

from scalebio.cli import parser, run
from scalebio.errors import UserError

FRESH = "As a fresh clone has it, on a machine with neither HF_TOKEN nor JUDGE_API_KEY; written by `make audits`."


def main() -> None:
    """Plan, estimate, check, write; or explain one file."""
    options = parser(__doc__)
    options.allow_abbrev = False
    options.add_argument("--explain", metavar="FILE", help="say why this result is stale, and write nothing")
    options.add_argument(
        "--document",
        metavar="FILE",
        help="write this Markdown file alone, as a fresh clone without token or key would have it",
    )
    options.add_argument(
        "--exit-zero",
        action="store_true",
        help="exit with 0 whatever is found: rule `audit` leaves its status to Snakemake",
    )
    arguments, others = options.parse_known_args()
    try:
        code = audit(arguments, others)
    except UserError as error:
        # Of a study that cannot be planned the run would fail, and 2 says something else here.
        print(f"error: {error}", file=sys.stderr)
        code = 1
    sys.exit(code)


def audit(arguments, others: list[str]) -> int:
    """The exit status, after all is printed and written. Raises UserError for a study that Snakemake refuses."""
    from scalebio.audit import auditing, page, plan
    from scalebio.audit.estimates import here
    from scalebio.audit.explain import explain
    from scalebio.files import write_text

    with auditing.as_study_file(arguments.settings.get("config")) as study:
        jobs, config = plan.collect([*others, *study], fresh=bool(arguments.document))
    if arguments.explain:
        text, stale = explain(arguments.explain, jobs)
        print(text)
        return 2 if stale else 0
    if arguments.document:
        write_text(arguments.document, page.markdown(auditing.make(jobs, config, None), FRESH))
        return 0
    made = auditing.make(jobs, config, here())
    paths = auditing.write(made)
    print(page.terminal(made, paths))
    return 0 if arguments.exit_zero else made["exit_code"]


if __name__ == "__main__":
    run(main)
