"""Servers on this machine's own loopback address, reached directly whatever proxy the site has."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

HOST = "127.0.0.1"


@contextmanager
def without_proxy() -> Iterator[None]:
    """While the block lasts, HTTP clients made in this process call HOST directly: a site's proxy cannot reach it."""
    saved = {name: os.environ.get(name) for name in ("no_proxy", "NO_PROXY")}
    for name, value in saved.items():
        os.environ[name] = ",".join(filter(None, [value, HOST]))
    try:
        yield
    finally:
        for name, value in saved.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
