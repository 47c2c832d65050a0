"""Where the judge is, how it is called in the results, and whether that name pins it down.

Three kinds: any OpenAI-compatible endpoint, the offline reference judge, and a small language model served here. The last
two are started by us for as long as they are needed.
"""

import ipaddress
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from scalebio import packages
from scalebio.config_evaluations import Judge
from scalebio.errors import UserError
from scalebio.mtbench import local_judge, reference_judge

KEY_VARIABLE = "JUDGE_API_KEY"
NO_KEY = "no-key"

# 2024-08-06, 20241022; 0613 (month and day), 2407 (year and month), 05-06; 002; a commit or digest.
_SNAPSHOT = re.compile(
    r"(?<!\d)20\d\d-?[01]\d-?[0-3]\d(?!\d)"
    r"|(?<!\d)(?:(?:0[1-9]|1[0-2])-?(?:0[1-9]|[12]\d|3[01])|2\d(?:0[1-9]|1[0-2]))(?!\d)"
    r"|-00\d\b"
    r"|[@:](?:sha256:)?[0-9a-f]{7,64}\b"
)
_NEAR_NAMES = (".local", ".localhost", ".internal", ".lan")


class Endpoint(NamedTuple):
    """Where the judge is and what it is called. `key` goes into requests and nowhere else.

    `extra_body`: fields that every request has besides; `at_once`: calls in flight at most, if it cannot do more.
    """

    model: str
    base_url: str
    key: str = NO_KEY
    extra_body: dict | None = None
    started_here: bool = False
    at_once: int | None = None

    @property
    def known_as(self) -> str:
        """What finished calls are kept under: the address, or the name where the port is another one in every run."""
        return self.model if self.started_here else self.base_url

    def without_key(self, text: str) -> str:
        """`text` with the key blotted out, should a server have sent it back."""
        return text if self.key == NO_KEY else text.replace(self.key, "***")


def from_environment(model: str, base_url: str) -> Endpoint:
    """The endpoint with the key from JUDGE_API_KEY; without one, a dummy, as local servers ask for none.

    Raises UserError if `base_url` is no URL.
    """
    if urlsplit(base_url).scheme not in ("http", "https") or not urlsplit(base_url).hostname:
        raise UserError(f"judge.base_url: {base_url!r} is no address. Give one such as http://127.0.0.1:8000/v1.")
    return Endpoint(model, base_url, os.environ.get(KEY_VARIABLE, "").strip() or NO_KEY)


@contextmanager
def started(judge: Judge, downloads: str | Path) -> Iterator[Endpoint]:
    """The endpoint of `judge`, which is started here if need be and runs while the block lasts.

    Wheels that carry a model are kept in `downloads`. Raises UserError if the judge cannot be had.
    """
    if judge.kind == "openai":
        yield from_environment(judge.model, judge.base_url)
    elif judge.kind == "offline_reference":
        with reference_judge.serving() as server:
            yield Endpoint(name(judge), server.base_url, started_here=True)
    else:
        local_judge.require()
        with local_judge.serving(packages.fetch(judge.gguf.model_dump(), downloads), judge.context) as base_url:
            body = {"grammar": local_judge.GRAMMAR}
            yield Endpoint(name(judge), base_url, extra_body=body, started_here=True, at_once=1)


def name(judge: Judge) -> str:
    """How the judge is called in every output."""
    if judge.kind == "openai":
        return judge.model
    return reference_judge.LABEL if judge.kind == "offline_reference" else local_judge.label(judge.gguf.file)


def note(judge: Judge) -> str:
    """A warning if the judge is hosted and its id names no snapshot: the same id will rate otherwise some day; else ""."""
    if judge.kind != "openai" or _near(urlsplit(judge.base_url).hostname or "") or _SNAPSHOT.search(judge.model):
        return ""
    return (
        f"judge id {judge.model!r} names no date or snapshot: what its host serves under it changes, and scores of "
        "different days may not be comparable"
    )


def _near(host: str) -> bool:
    """Whether `host` is this machine or one of the same site, whose model its users choose themselves."""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith(_NEAR_NAMES)
