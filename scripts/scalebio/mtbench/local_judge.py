"""A small language model as judge on this machine: llama.cpp's own HTTP server on loopback, through xllamacpp.

It exists to send the whole road past a real language model. A grammar forces a rating at the end of every reply, because
a model this small never gets there by itself; what it rates says nothing about quality, and LABEL says so in every output.
"""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scalebio import loopback
from scalebio.errors import UserError

# GBNF: an explanation of one line without brackets, then the rating in the form that FastChat's prompts ask for.
GRAMMAR = r"""root ::= explanation "\n\nRating: [[" ("10" | [1-9]) "]]"
explanation ::= [^\[\]\n]{1,200}
"""


def label(file: str) -> str:
    """How the judge is called in every output, by its model's file name."""
    return f"local-gguf {Path(file).stem} (plumbing, not a quality measure)"


def require() -> None:
    """Raise UserError with the command that installs xllamacpp where it is missing."""
    if importlib.util.find_spec("xllamacpp") is None:
        raise UserError(
            "The judge `local_gguf` needs xllamacpp, which is not installed. Run `make environment` (a prebuilt wheel of "
            "the version in pyproject.toml), or set judge.kind to `offline_reference` or `openai`."
        )


@contextmanager
def serving(gguf: str | Path, context: int) -> Iterator[str]:
    """Serve the model in the file `gguf` with `context` tokens; yields the base_url. One request is worked on at a time.

    Raises UserError if xllamacpp is missing or cannot load the file.
    """
    require()
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(gguf)
    parameters.hostnames = [loopback.HOST]
    parameters.n_ctx = context
    parameters.n_parallel = 1
    # llama.cpp's threads wait for each other in a busy loop: with a second one beside other jobs it takes ten times as long.
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    parameters.ui = False
    parameters.verbosity = 0
    with loopback.without_proxy():
        try:
            server = xllamacpp.Server(parameters)
        except RuntimeError as error:
            raise UserError(f"llama.cpp cannot serve {gguf}: {error}. Name a model in GGUF format.") from error
        try:
            yield f"{server.listening_address}/v1"
        finally:
            # There is no method for it: the server ends with its object.
            del server
