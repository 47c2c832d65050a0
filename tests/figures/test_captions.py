"""Captions of the HTML report: every figure has one, and each is clean reStructuredText however it is rendered."""

from types import SimpleNamespace

import pytest
from docutils.core import publish_parts
from jinja2 import Environment

from scalebio.claims import NOT_REPRODUCED, NOT_RUN, REPRODUCED, UNDECIDED
from scalebio.figures import NAMES
from scalebio.tables.inputs import LOADERS

# As in Snakemake's report.
ENVIRONMENT = Environment(trim_blocks=True, lstrip_blocks=True)


def render(path, **context):
    text = ENVIRONMENT.from_string(path.read_text(encoding="utf-8")).render(snakemake=SimpleNamespace(**context))
    # halt_level 2: a warning is an error.
    return publish_parts(text, writer="html", settings_overrides={"halt_level": 2})["html_body"]


@pytest.mark.parametrize("name", [*NAMES, "reweighting_curves"])
def test_every_figure_has_a_caption_that_says_what_to_see(root, name):
    assert "What to see" in render(root / f"workflow/report/{name}.rst", params=SimpleNamespace())


@pytest.mark.parametrize("name", [*LOADERS, "memory", None])
def test_the_caption_of_tables_says_what_each_holds(root, name):
    params = SimpleNamespace(about="Weights of odd_ names", name=name) if name else SimpleNamespace()
    html = render(root / "workflow/report/table.rst", params=params)
    assert "tidy table" in html and (name is None or "Weights of" in html)


def test_the_caption_of_claims_explains_the_verdicts(root):
    html = render(root / "workflow/report/claims.rst")
    assert all(verdict in html for verdict in (REPRODUCED, NOT_REPRODUCED, UNDECIDED, NOT_RUN))


@pytest.mark.parametrize("config", [{}, {"study": "a_study_", "run": ["one_", "two"]}])
def test_the_landing_page_names_study_and_experiments(root, config):
    html = render(root / "workflow/report/workflow.rst", config=config)
    assert "How to read it" in html and all(name in html for name in config.get("run", []))
