"""The report: complete, in order, safe against what stands in data, without a network, and well laid out in a real browser."""

import ast
import json
import re
from html.parser import HTMLParser

import pandas as pd
import pytest
from browser import console, layout

from scalebio.claims import page as claims
from scalebio.errors import UserError
from scalebio.figures import NAMES
from scalebio.report import facts, rendering, sections
from scalebio.report import page as report
from scalebio.tables import summary

HOSTILE = "<script>alert(1)</script> [x](javascript:alert(1)) `a|b` **b** <img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """Elements of a page, text without tags, and the texts of its headings."""

    def __init__(self, text: str):
        super().__init__()
        self.elements, self.text, self.headings = [], "", []
        self.inside = None
        self.feed(str(text))

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.inside = tag
        if tag == "h2":
            self.headings.append("")

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        self.text += data
        if self.inside == "h2":
            self.headings[-1] += data

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]


def test_every_table_and_figure_of_the_catalogue_stands_in_a_section(root):
    """So that one that is added later is not forgotten; the catalogue has no rules, so it is Python."""
    catalogue = ast.parse((root / "workflow/rules/catalogue.smk").read_text(encoding="utf-8"))
    (about,) = (
        ast.literal_eval(node.value)
        for node in catalogue.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "ABOUT_TABLES"
    )
    assert about.keys() - sections.named("tables") == set()
    assert {*NAMES, "reweighting_curves"} - sections.named("figures") == set()


def test_sections_stand_in_the_order_in_which_a_reviewer_asks():
    order = ["question", "sources", "weights", "mixture", "scores", "claims", "gates", "provenance", "cost"]
    assert [section.name for section in sections.SECTIONS] == order


def test_claims_are_counted_first_and_their_tests_are_folded(tmp_path):
    """With text that tries to be HTML and Markdown."""
    common = {"claim": "weights_fall", "statement": HOSTILE, "where": "§4", "known": "by heart", "method": "scalebio"}
    run = {"scale": "small", "study": "mine", "experiment": "forum", "our_value": 0.123456789, "low": 0.1, "high": 0.2}
    rows = [common | run | {"verdict": "reproduced"}, common | {"scale": "paper", "verdict": "not run: needs a GPU"}]
    pd.DataFrame(rows, columns=claims.COLUMNS).to_csv(tmp_path / "claims.csv", index=False)
    html = rendering.table_file("claims", tmp_path / "claims.csv")
    page = Page(html)
    assert (
        "1 reproduced" in page.text
        and "1 not run" in page.text
        and "0.123" in page.text
        and "0.100 … 0.200" in page.text
    )
    assert "<strong>not run</strong>: needs a GPU" in html
    before, _, folded = html.partition("<details>")
    assert "1 reproduced" in before and "0.123" not in before and "0.123" in folded and "weights_fall" in folded
    assert " ".join(HOSTILE.split()) in page.text
    assert not {"script", "img", "a"} & {tag for tag, _ in page.elements}


@pytest.mark.parametrize("tested", [True, False])
def test_claims_that_the_study_does_not_test_are_folded(tmp_path, tested):
    common = {"claim": "weights_fall", "statement": "They fall", "where": "§4", "known": "by heart", "scale": "paper"}
    rows = [common | {"verdict": "not run: needs a GPU"}, *([common | {"verdict": "reproduced"}] if tested else [])]
    pd.DataFrame(rows, columns=claims.COLUMNS).to_csv(tmp_path / "claims.csv", index=False)
    settings = {"figures": [], "tables": {"claims": {"path": tmp_path / "claims.csv", "about": "Claims"}}}
    (section,) = (section for section in sections.SECTIONS if section.name == "claims")
    shown = report._section(section, settings, tmp_path)
    assert bool(shown["tables"]) is tested and bool(shown["more_tables"]) is not tested
    assert (shown["lead"] == report.UNTESTED) is not tested


def test_a_table_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UserError, match="claims.csv: no such file"):
        rendering.table_file("claims", tmp_path / "claims.csv")


def test_columns_of_numbers_stand_to_the_right_and_words_to_the_left():
    html = rendering.table(
        ["what", "n", "interval", "verdict"], [["a", "1,200 of 2,000", "-0.1 … +0.2", "better"], ["b", "–", "–", "–"]]
    )
    aligned = [attributes.get("class") for tag, attributes in Page(html).elements if tag == "td"]
    assert aligned == [None, "number", "number", None] * 2


def test_the_question_names_each_kind_of_model():
    models = {
        "made": {"scratch": {"layers": 4, "hidden_size": 80}, "lisa": None},
        "here": {"path": "models/own", "lora": {"rank": 8}},
        "hub": {"hub": {"id": "owner/name", "revision": "unverified", "gated": False}},
    }
    experiment = {"sources": ["forum", "talks"], "reference": "goal", "methods": ["uniform"], "seeds": [0, 1]}
    settings = {
        "models": models,
        "references": {"goal": {"validation": {"wanted": 1}, "validation_rows": 100}},
        "experiments": [{"name": name, "model": name} | experiment for name in models],
    }
    text = Page(facts.question(settings)).text
    assert "made: a Llama from scratch, 4 layers of width 80; all parameters train" in text
    assert "here: models/own; LORA trains" in text and "hub: owner/name@unverified; all parameters train" in text
    assert text.count("wanted, 100 rows") == 3


def test_why_weights_are_not_confirmed_is_said_with_what_came_out(tmp_path):
    results = tmp_path / "results"
    blind = {"ratio": None, "threshold": 0.05, "verdict": "not confirmed", "reason": f"no weights {HOSTILE}"}
    wrong = [blind | {"ratio": ratio, "reason": f"mismatch is {ratio}"} for ratio in (0.41, 0.2)]
    right = {"ratio": 0.01, "threshold": 0.05, "verdict": "confirmed", "reason": "mismatch is 0.01"}
    checks = {"uniform": [None], "one": [right, blind, blind], "two": [*wrong, blind], "three": [wrong[0]]}
    runs = []
    for method, found in checks.items():
        for seed, check in enumerate(found):
            path = results / "forum" / "tiny" / method / f"seed{seed}" / "weights.json"
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps({"check": check} if check else {}), encoding="utf-8")
            runs.append(path.as_posix())
    settings = {"results": results.as_posix(), "runs": runs}
    page = Page(facts.unconfirmed(settings))
    assert not {"script", "img", "a"} & {tag for tag, _ in page.elements}
    shown = "".join(page.text.splitlines())
    assert "forumone2no weights" in shown and "forumtwo3no weights" in shown and "forumthree1mismatch" in shown
    assert "mismatch is 0.20 … 0.41 of the way from the best match to equal weights, and up to 0.05 is right" in shown
    assert "mismatch is 0.41 of the way" in shown and "uniform" not in shown
    assert facts.unconfirmed(settings | {"runs": runs[:2]}) is None, "one without a check, one confirmed"


def test_where_learning_started_from_old_weights_the_difference_is_shown(tmp_path):
    cold, warm = (tmp_path / name / "weights.json" for name in ("cold", "warm"))
    started = {"shares": {"a": 0.5, "b": 0.5}, "added": ["b"], "removed": ["c"], "moved": {"a": -0.2, "b": 0.2}}
    learned = {"provenance": {"inputs": {"start": {"path": "old/weights.json"}}}}
    for path, extra in ((cold, {}), (warm, {"started_from": started | {"total_variation": 0.2}})):
        path.parent.mkdir()
        path.write_text(json.dumps(learned | extra), encoding="utf-8")
    settings = {"results": tmp_path.as_posix(), "runs": [str(cold)]}
    assert facts.warm_starts(settings) is None
    text = Page(facts.warm_starts(settings | {"runs": [str(cold), str(warm)]})).text
    assert "warmold/weights.jsonbc20.0%a -0.200" in text.replace("\n", "") and "cold" not in text


def test_text_from_sources_is_text(tmp_path):
    manifest = {"rows": 1200, "origin": {"kind": "file", "path": HOSTILE}, "licence": HOSTILE, "sha256": "a" * 64}
    manifest |= {"corrupted_rows": 0, "dropped_unanswered": 3, "dropped_long": 0}
    (tmp_path / "forum.json").write_text(json.dumps(manifest), encoding="utf-8")
    settings = {
        "experiments": [{"name": "mine", "sources": ["forum"], "reference": "goal"}],
        "references": {"goal": {"validation": {"wanted": 1}}},
        "sources": [{"name": "forum", "path": str(tmp_path / "forum.json")}],
    }
    page = Page(facts.sources(settings))
    assert page.text.count("alert(1)") == 6 and "1,200" in page.text and "3 unanswered" in page.text
    assert not {"script", "img", "a"} & {tag for tag, _ in page.elements}


def test_a_caption_that_is_no_restructured_text_is_named(tmp_path):
    (tmp_path / "weights.rst").write_text(
        "Title\n=\n\n.. raw:: html\n\n   <script>alert(1)</script>\n\n`open", encoding="utf-8"
    )
    with pytest.raises(UserError, match="weights.rst: not valid reStructuredText"):
        rendering.caption(tmp_path / "weights.rst")


def test_what_is_no_picture_is_named(tmp_path):
    (tmp_path / "weights.png").write_text("<svg/>")
    with pytest.raises(UserError, match="weights.png: not a PNG"):
        rendering.figure(tmp_path / "weights.png")


@pytest.mark.slow
def test_the_report_of_a_study_holds_all_of_it_and_nothing_from_elsewhere(finished):
    results = finished.path / "results/small"
    text = (results / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    titles = {section.title for section in sections.SECTIONS}
    assert [title for title in page.headings if title in titles] == page.headings
    tables, figures = (
        {path.name for path in (results / kind).glob(f"*.{end}")}
        for kind, end in (("tables", "csv"), ("figures", "png"))
    )
    shown = set(re.findall(r"results/small/(?:tables|figures)/([\w.]+)", page.text))
    assert tables and figures and shown == tables | figures
    images = page.all("img")
    assert len(images) == len(figures)
    assert all(image["src"].startswith("data:image/png;base64,") and len(image["alt"]) > 40 for image in images)
    linked = [value for _, attributes in page.elements for key, value in attributes.items() if key in ("src", "href")]
    assert [value[:30] for value in linked if not value.startswith(("data:", "#"))] == []
    assert not page.all("script") and "@import" not in text and "url(" not in text
    weight = finished.json("results/small/sums/tiny/scalebio/seed0/weights.json")["weights"]["sums"]
    assert f"{weight:.4f}" in page.text
    assert finished.json("results/small/sources/brought.json")["sha256"][:12] in page.text


@pytest.mark.slow
def test_a_table_read_back_gives_the_summary_that_was_written_beside_it(finished):
    """The report sums up what stands in the CSV file, with the same words as the Markdown file."""
    found = sorted((finished.path / "results/small/tables").glob("*.csv"))
    assert len(found) >= 10
    for path in found:
        frame = summary.read_back(path.stem, path)
        assert summary.render(path.stem, frame).markdown() == path.with_suffix(".md").read_text(encoding="utf-8"), (
            path.name
        )


@pytest.mark.slow
def test_faults_of_a_page_are_seen_in_the_browser(tmp_path):
    """What the next test relies on."""
    (tmp_path / "bad.html").write_text(
        "<!DOCTYPE html><html><head><meta charset='utf-8'></head><body><p>One</p><p style='margin-top: -20px'>Two</p>"
        "<h1 style='width: 2000px'>Wide</h1><img src='data:,'><script>console.error('oh')</script></body></html>"
    )
    assert any("oh" in line for line in console(tmp_path / "bad.html"))
    found = layout(tmp_path / "bad.html", 390, tmp_path)
    assert found["width"] == 390 and found["page"] > 390
    assert found["overlaps"] == ["P: One | P: Two"] and found["outside"] == ["H1: Wide"]
    assert found["without_alt"] and found["broken"]


@pytest.mark.slow
def test_the_report_in_a_real_browser(finished, tmp_path):
    page = tmp_path / "report.html"
    page.write_bytes((finished.path / "results/small/report.html").read_bytes())
    assert console(page) == []
    for width, unfolded in ((1280, False), (390, True)):
        found = layout(page, width, tmp_path, unfolded)
        assert found["width"] == width and found["page"] <= width and found["images"]
        assert {key: found[key] for key in ("overlaps", "outside", "without_alt", "broken")} == {
            "overlaps": [],
            "outside": [],
            "without_alt": [],
            "broken": [],
        }
