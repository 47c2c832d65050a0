"""Figures of judged answers: what is drawn is what the table says, and nothing is drawn where nothing is known."""

import ast
from importlib import import_module

import numpy as np
import pandas as pd
import pytest
from figures import synthetic
from matplotlib.colors import to_rgba
from matplotlib.text import Text

from scalebio.dependencies import code_files
from scalebio.errors import UserError
from scalebio.figures import NAMES, house, judged
from scalebio.figures import mtbench_differences as differences
from scalebio.tables import inputs, tidy

pytestmark = pytest.mark.filterwarnings("error")
JUDGED = [name for name in NAMES if name.startswith("mtbench")]
CATEGORIES = ["math", "writing", "stem", "roleplay"]


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Table of each judged figure: one experiment, three methods, two seeds, judged three times."""
    folder = tmp_path_factory.mktemp("judged")
    facts = {"x": {"sources": ["a"], "categories": CATEGORIES, "repeats": 3}}
    settings = synthetic.make_study(folder / "runs", facts, 2, ("uniform", "scalebio", "less"), steps=5)
    found = {}
    for name in JUDGED:
        inputs.build("mtbench" if name == "mtbench_radar" else name, settings).to_csv(folder / "table.csv", index=False)
        module = import_module(f"scalebio.figures.{name}")
        found[name] = tidy.read_csv(folder / "table.csv", module.COLUMNS, text=getattr(module, "TEXT", ()))
    return found


def draw(name, table):
    with house.style():
        figure = import_module(f"scalebio.figures.{name}").draw(table, {"study": "x"})
        figure.canvas.draw()
    return figure


def said(figure):
    return " ".join(" ".join(text.get_text() for text in figure.findobj(Text)).split())


def bars(axes, colour):
    """Horizontal lines of two points in a colour, from the top; shape (bars, 2): left, right."""
    found = [line for line in axes.lines if line.get_color() == colour and line.get_marker() in ("", "None")]
    found = [line for line in found if len(set(line.get_ydata())) == 1 and len(line.get_xdata()) == 2]
    return np.array([line.get_xdata() for line in sorted(found, key=lambda line: line.get_ydata()[0])])


# --- scores -----------------------------------------------------------------------------------------------------


def test_a_score_without_interval_has_no_bar(tables):
    one = tables["mtbench"].query("seed == 0 and method == 'scalebio'").copy()
    blue = house.KNOWN_METHODS["scalebio"][0]
    drawn = bars(draw("mtbench", one).axes[0], blue)
    both = one[one["turn"] == "both"].set_index("category").loc[[*CATEGORIES, "all"]]
    assert drawn == pytest.approx(both[["low", "high"]].to_numpy())
    one.loc[one["category"] == "math", ["low", "high"]] = np.nan
    figure = draw("mtbench", one)
    assert (bars(figure.axes[0], blue) == drawn[1:]).all() and "Too few questions have no bar." in said(figure)


def test_what_could_not_be_read_and_what_was_cut_is_told(tables):
    # Six models, three repeats: one turn of one question unreadable, both turns of one question cut.
    for name in ("mtbench", "mtbench_radar", "mtbench_repeats"):
        assert "18 of 1440 ratings unreadable, in no mean." in said(draw(name, tables[name]))
    assert "36 judgments are of answers whose middle was cut." in said(draw("mtbench", tables["mtbench"]))
    clean = tables["mtbench"].assign(failed=0, cut=0)
    assert judged.left_out(clean) == ""


def test_a_radar_has_a_closed_line_a_method_through_the_means_over_seeds(tables):
    (axes,) = draw("mtbench_radar", tables["mtbench_radar"]).axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == CATEGORIES
    rows = tables["mtbench_radar"].query("turn == 'both'")
    assert len(axes.lines) == 3
    for line, method in zip(axes.lines, ("uniform", "scalebio", "less"), strict=True):
        means = rows[rows["method"] == method].groupby("category")["score"].mean()[CATEGORIES].tolist()
        assert line.get_ydata().tolist() == pytest.approx([*means, means[0]])
        assert line.get_xdata().tolist() == pytest.approx([0, np.pi / 2, np.pi, 3 * np.pi / 2, 0])
    assert len({line.get_marker() for line in axes.lines}) == 3, "told apart without colours too"


# --- differences ------------------------------------------------------------------------------------------------


def test_differences_stand_at_their_place_with_interval_and_band(tables):
    table = tables["mtbench_differences"]
    (axes,) = draw("mtbench_differences", table).axes
    names = [*CATEGORIES, "all categories", "judge against itself"]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == names
    rows = table[(table["seed"] == "all") & (table["comparison"] == "method") & (table["method"] == "scalebio")]
    rows = rows.set_index("category").loc[[*CATEGORIES, "all"]]
    blue = house.KNOWN_METHODS["scalebio"][0]
    assert bars(axes, blue) == pytest.approx(rows[["low", "high"]].to_numpy())
    marks = [line for line in axes.lines if line.get_color() == blue and line.get_markersize() == 4.5]
    assert [line.get_xdata()[0] for line in marks] == pytest.approx(rows["difference"].tolist())
    bands = [patch for patch in axes.patches if patch.get_facecolor() == to_rgba(differences.BAND)]
    assert len(bands) == 2 * 5 + 1
    for band in bands:
        assert band.get_x() == pytest.approx(-band.get_width() / 2)
    widths = sorted(band.get_width() / 2 for band in bands)
    shown = table[(table["seed"] == "all") & ((table["comparison"] == "method") | (table["category"] == "all"))]
    assert widths == pytest.approx(sorted(shown["smallest_visible"]))
    assert any(list(line.get_xdata()) == [0, 0] for line in axes.lines), "the line of no difference"


def test_a_mark_is_filled_where_the_verdict_is_clear(tables):
    table = tables["mtbench_differences"].copy()
    table["verdict"] = np.where(table["category"] == "math", "not distinguishable", "worse")
    (axes,) = draw("mtbench_differences", table).axes
    blue = house.KNOWN_METHODS["scalebio"][0]
    marks = [line for line in axes.lines if line.get_color() == blue and line.get_markersize() == 4.5]
    assert [line.get_markerfacecolor() for line in marks] == ["white", *[blue] * 4]


def test_judged_once_is_told_and_has_no_line(tables):
    table = tables["mtbench_differences"].copy()
    noise = table["comparison"] == "judge noise"
    table.loc[noise, ["difference", "low", "high", "smallest_visible"]] = np.nan
    figure = draw("mtbench_differences", table)
    assert "Judge noise unknown: judged once." in said(figure) and "judge against itself" not in said(figure)
    two = pd.concat([table, tables["mtbench_differences"].assign(experiment="y")])
    assert "Judge against itself: odd minus even repeats. Judge noise unknown elsewhere: judged once." in said(
        draw("mtbench_differences", two)
    )


def test_experiments_without_a_second_method_are_left_out_or_refused(tables):
    table = tables["mtbench_differences"]
    alone = table[table["comparison"] == "judge noise"].assign(experiment="alone")
    assert "alone" not in said(draw("mtbench_differences", pd.concat([table, alone])))
    with pytest.raises(UserError, match="no experiment has a second method"):
        draw("mtbench_differences", alone)


# --- repeats ----------------------------------------------------------------------------------------------------


def test_repeats_show_score_interval_and_the_judges_part(tables):
    rows = tables["mtbench_repeats"].query("seed == 'all' and method == 'less'")
    (axes,) = draw("mtbench_repeats", tables["mtbench_repeats"]).axes
    assert axes.lines[2].get_ydata().tolist() == pytest.approx(rows["score"].tolist())
    assert np.round(axes.lines[2].get_xdata()).tolist() == [1, 2, 3]
    thin, pale = ([part[:, 1].tolist() for part in group.get_segments()] for group in axes.collections[4:6])
    assert np.array(thin) == pytest.approx(rows[["low", "high"]].to_numpy())
    assert [high - low for low, high in pale] == pytest.approx((2 * 1.95996 * rows["judge_sd"]).tolist(), rel=1e-4)


# --- all four ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", JUDGED)
def test_nothing_known_draws_an_empty_figure_that_still_names_the_judge(tables, name):
    table = tables[name].copy()
    numbers = {"score", "difference", "low", "high", "smallest_visible", "judge_sd"} & set(table.columns)
    table[list(numbers)] = np.nan
    assert f"Judge: {synthetic.JUDGE}" in said(draw(name, table))


@pytest.mark.parametrize("name", JUDGED)
def test_names_are_shown_as_they_are(tables, name):
    table = tables[name].replace({"math": "$m_1$ <b>", "scalebio": "a\\frac{$b$}"})
    shown = said(draw(name, table))
    assert "a\\frac{$b$}" in shown and ("$m_1$ <b>" in shown or name == "mtbench_repeats")


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_is_drawn_by_no_file_that_its_rule_does_not_name(root, name):
    """`drawing_files` in catalogue.smk: the figure's own module, `judged` for judged ones, and the entry point's."""
    own = root / f"scripts/scalebio/figures/{name}.py"
    named = {*code_files(root / "scripts/draw_figure.py"), own}
    if name in JUDGED:
        named.add(root / "scripts/scalebio/figures/judged.py")
    for node in ast.walk(ast.parse(own.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("scalebio"):
            for part in (node.module, *(f"{node.module}.{alias.name}" for alias in node.names)):
                file = root / "scripts" / (part.replace(".", "/") + ".py")
                assert not file.exists() or file in named, part
