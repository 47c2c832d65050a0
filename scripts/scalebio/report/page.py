"""The page itself: sections in order, each with its figures, tables and how to read them, through one template."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from scalebio.report import facts, rendering
from scalebio.report.sections import SECTIONS, Section

FOLDER = Path(__file__).parent
# House figures are 200 dots per inch, and are shown a quarter larger than printed.
PIXELS = 96 / 200 * 1.25
UNTESTED = "This study tests none of the paper's claims; the table says which study each of them needs."
ABOUT_SCALEBIO = (
    "A language model is to be fine-tuned on several sources of unknown worth; a small set of good rows says what it should "
    "become. ScaleBiO (arXiv 2406.19976) learns how much of each source to use: one copy of the model follows the weighted "
    "training data, a second one is also pulled towards the good rows, and a source gains weight where the second copy fits it "
    "better. A mixture drawn by the weights then trains the model afresh, and is held against a mixture in equal shares."
)


def build(settings: dict, captions: str | Path) -> str:
    """The page for one study as HTML. `captions` is the folder of caption files.

    `settings` stands in scripts/make_report.py. Raises UserError for a file that cannot be read.
    """
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    sections = [shown for section in SECTIONS if (shown := _section(section, settings, Path(captions)))]
    return environment.get_template("page.html.jinja").render(
        study=settings["study"],
        results=settings["results"],
        sections=sections,
        style=Markup((FOLDER / "style.css").read_text(encoding="utf-8")),
    )


def _section(section: Section, settings: dict, captions: Path) -> dict | None:
    """What the template shows of a section; None where the study has nothing for it."""
    figures, more_figures = (
        [group for kind in kinds if (group := _figures(kind, settings, captions))]
        for kinds in (section.figures, section.more_figures)
    )
    kinds, more_kinds, lead = section.tables, section.more_tables, section.lead
    if section.name == "claims" and "claims" in settings["tables"] and not facts.tests_claims(settings):
        kinds, more_kinds, lead = (), kinds, UNTESTED
    tables, more_tables = (
        [_table(kind, settings["tables"][kind]) for kind in wanted if kind in settings["tables"]]
        for wanted in (kinds, more_kinds)
    )
    shown = {
        "blocks": _written(section.name, settings),
        "figures": figures,
        "tables": tables,
        "more_figures": more_figures,
        "more_tables": more_tables,
    }
    if not any(shown.values()):
        return None
    about = {key: getattr(section, key) for key in ("name", "title", "figures_first")}
    return about | {"lead": lead} | shown


def _written(name: str, settings: dict) -> list[dict]:
    """Blocks of a section that come from no table of the catalogue."""
    if name == "question":
        why = facts.unconfirmed(settings)
        return [
            _block("What was asked", facts.question(settings), settings.get("question") or ""),
            _block("What came out", facts.verdict_table(settings), _HOW_TO_READ + facts.from_scratch(settings)),
            *([_block("Why weights are not confirmed", why, _NOT_CONFIRMED)] if why else []),
            _block("The method in short", Markup(), ABOUT_SCALEBIO),
        ]
    if name == "sources":
        return [
            _block("Rows by source", facts.sources(settings)),
            _block("Rows by experiment", facts.pools(settings)),
        ]
    if name == "weights" and (started := facts.warm_starts(settings)):
        return [_block("Started from earlier weights", started)]
    if name == "provenance":
        return [
            _block("Versions", facts.provenance(settings)),
            _block("Every run", facts.run_table(settings), folded=True),
        ]
    return []


def _block(title: str, html: Markup, text: str = "", folded: bool = False) -> dict:
    return {"title": title, "html": html, "text": text, "folded": folded}


_HOW_TO_READ = (
    "Test loss is in nats per answer token: a negative difference is a gain. Intervals are Student t over seeds, paired with the "
    "baseline; better or worse only where the interval leaves out zero. Weights checked: on how many seeds a check by gradient "
    "matching confirmed them; a dash: not checked."
)
_NOT_CONFIRMED = (
    "Better and not confirmed is no contradiction: use the mixture rather than equal shares, but nothing shows that no other would "
    "be better still. Not confirmed and not better: do not rely on these weights. More validation rows and more check_steps make "
    "the check less noisy; docs/method.md says what it can and cannot see."
)


def _figures(kind: str, settings: dict, captions: Path) -> dict | None:
    """All figures under one caption, one for each experiment that has it."""
    found = [figure for figure in settings["figures"] if figure["caption"] == kind]
    if not found:
        return None
    shown = []
    for figure in found:
        of = figure.get("experiment")
        image = rendering.figure(figure["path"])
        shown.append(
            image
            | {
                "shown": round(image["width"] * PIXELS),
                "label": of or "all experiments",
                "alt": f"{figure['about']}, {f'experiment {of}' if of else 'all experiments'}. "
                f"Its numbers are in the table {figure['table']}.",
                "path": figure["path"],
            }
        )
    title = found[0]["about"]
    return {"title": title, "figures": shown, "caption": rendering.caption(captions / f"{kind}.rst")}


def _table(kind: str, table: dict) -> dict:
    """One table of the catalogue."""
    return {"title": table["about"], "html": rendering.table_file(kind, table["path"]), "path": table["path"]}
