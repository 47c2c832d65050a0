"""What every entry point shares: arguments that carry a JSON settings slice, clean errors, quiet libraries."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable

from scalebio.errors import UserError

# Set before torch or transformers is imported by an entry point's own imports inside `main`.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


def settings(text: str) -> dict:
    """Parse the JSON given to `--settings`, the slice of the study's config that one job depends on."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"not valid JSON: {error}") from error


def parser(description: str | None) -> argparse.ArgumentParser:
    """An argument parser with the `--settings` option that rules pass the config slice through."""
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--settings", type=settings, default={}, metavar="JSON", help="the config slice of this job")
    return result


def run(main: Callable[[], None]) -> None:
    """Call `main`; a UserError becomes one clear message and exit status 2, and SIGTERM unwinds like Ctrl-C."""

    def stop(signum, frame):
        raise KeyboardInterrupt(f"signal {signum}")

    signal.signal(signal.SIGTERM, stop)
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped before the end; the next run starts this job again", file=sys.stderr)
        sys.exit(130)
