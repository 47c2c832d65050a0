"""The made-up studies, their tables built once a file."""

import pytest
from figures.studies import STUDIES, Study


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """Name → Study."""
    return {name: Study(tmp_path_factory.mktemp("study"), name) for name in STUDIES}
