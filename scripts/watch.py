"""Watch a run of Snakemake from another terminal: jobs by rule, time left, and the live line of every running job.

    python scripts/watch.py [--configfile config/STUDY.yaml ...] [--once] [--every SECONDS]

Reads the log in `.snakemake/log` of the run that is under way, or else of the newest one (with --configfile: of that study), and
the logs of the jobs, and nothing else, so it can be begun and ended at any time, on any machine that sees the folder. Where the output is no terminal it prints the
state once. Ends with the run, or at Ctrl-C.
"""

from scalebio.cli import run


def main() -> None:
    """Find the run, show it."""
    import argparse
    import contextlib
    import time
    from pathlib import Path

    from rich.console import Console

    from scalebio import watch_view, watching

    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--configfile", nargs="+", default=[], metavar="FILE", help="study files of the run to show")
    options.add_argument("--once", action="store_true", help="print the state as it is now, and end")
    options.add_argument("--every", type=float, default=2.0, metavar="S", help="seconds between two looks (2)")
    arguments = options.parse_args()

    study, folder = watching.study_of(arguments.configfile), Path.cwd()
    console = Console()
    if not console.is_terminal:
        console = Console(width=120, highlight=False)
    with contextlib.suppress(KeyboardInterrupt):
        once = arguments.once or not console.is_terminal
        watch_view.watch(lambda: watching.newest(folder, study, time.time()), folder, arguments.every, once, console)


if __name__ == "__main__":
    run(main)
