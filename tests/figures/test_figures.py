"""Every figure on made-up tables: no warning, nothing clipped or overlapping, names, units and truths there."""

from importlib import import_module

import numpy as np
import pytest
from figures import synthetic
from figures.studies import JUDGED, LANGUAGES, NOISE, SKILLS, STUDIES, TABLE_OF
from matplotlib.text import Text

from scalebio.figures import NAMES, house
from scalebio.tables import tidy

pytestmark = pytest.mark.filterwarnings("error")


def texts(figure):
    """All visible texts with something in them."""
    return [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]


def words(figure):
    return {text.get_text() for text in texts(figure)}


@pytest.mark.parametrize("study", STUDIES)
@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_clipped_or_covers_data(studies, study, name):
    for experiment in studies[study].experiments if name in TABLE_OF else [None]:
        figure = studies[study].rendered(name, experiment)
        page, renderer = figure.bbox, figure.canvas.get_renderer()
        for text in texts(figure):
            box = text.get_window_extent(renderer)
            inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= page.x1 + 1 and box.y1 <= page.y1 + 1
            # Ticks outside the limits exist but are not drawn.
            tick = any(
                text in axis.get_ticklabels(which="both") for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)
            )
            assert inside or tick, f"{text.get_text()!r} leaves the page of {name}/{study}"
        for legend in figure.legends:
            box = legend.get_window_extent(renderer)
            assert box.x1 <= page.x1 and not any(box.overlaps(axes.get_tightbbox(renderer)) for axes in figure.axes)
        assert f"study: {study}" in words(figure)
        assert figure.get_size_inches()[0] in (house.COLUMN, house.DOUBLE)


def labels(experiment, facts):
    """What the sources of an experiment are to be called, in their order."""
    rates = facts.get("corruption") or {}
    if experiment == "denoising":
        return [f"{source} ({100 * rates[source]:.0f}%)" for source in facts["sources"]]
    return [f"{s}, {100 * rates[s]:.0f}% spoiled" if s in rates else s for s in facts["sources"]]


def lines(figure, **wanted):
    """The drawn lines whose getters give the wanted values."""
    return [
        line
        for axes in figure.axes
        for line in axes.lines
        if all(getattr(line, f"get_{key}")() == value for key, value in wanted.items())
    ]


@pytest.mark.parametrize("study", STUDIES)
def test_every_source_is_named_literally_and_labels_keep_apart(studies, study):
    for experiment, facts in studies[study].experiments.items():
        for name in ("weights", "final_weights"):
            shown = words(studies[study].rendered(name, experiment))
            if (name, experiment) == ("final_weights", "denoising"):
                continue  # there the axis holds rates, not names
            assert set(labels(experiment, facts)) <= shown
        figure = studies[study].rendered("weights", experiment)
        renderer = figure.canvas.get_renderer()
        for axes in figure.axes:
            boxes = [Text.get_window_extent(text, renderer) for text in axes.texts]
            assert len(boxes) == len(facts["sources"]) + 1
            bottoms = np.sort([box.y0 for box in boxes])
            assert np.diff(bottoms).min() >= 8.5 * figure.dpi / 72


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("weights", {"outer step", "source weight (share)"}),
        ("final_weights", {"spoiled answers (%)", "final weight (share)", "expected", "scalebio", "all equal"}),
        ("test_loss", {"test loss\n(nats per token)", "accuracy (%)", "accuracy not measured", "uniform", "scalebio"}),
        ("training_curves", {"optimiser step", "validation loss\n(nats per token)", "training loss\n(nats per token)"}),
        ("method_comparison", {"uniform (free)", "scalebio (0.61×)", "denoising"}),
        (
            "ablations",
            {"distance from\nplanted shares", "penalty α", "lisa: layers", "centre", "denoising", "multilingual"},
        ),
        ("weights_by_model", {"final weight (share)", "model 0", "model_1", "expected", *LANGUAGES, *NOISE}),
        ("math", {"right answers (%)", "GSM8K", "MATH", "uniform", "scalebio"}),
        ("mtbench", {"score (1 to 10)", "all categories", "sorting", "arithmetic", "uniform", "scalebio"}),
        ("mtbench_radar", {"2", "10", "sorting", "arithmetic", "uniform", "scalebio"}),
        ("mtbench_differences", {"score minus that of uniform (points)", "all categories", "dates", "scalebio"}),
        ("mtbench_repeats", {"score (1 to 10)", "times judged", "1", "2", "3", "uniform", "scalebio"}),
        ("mixtures", {"share of the mixture", "asked", "drawn, rows", "drawn, tokens", *LANGUAGES, *NOISE}),
    ],
)
def test_axes_have_units_and_marks_have_names(studies, name, labels):
    shown = words(studies["usual"].draw(name))
    assert labels <= shown, labels - shown


@pytest.mark.parametrize("name", JUDGED)
def test_judge_and_questions_stand_in_the_figure(studies, name):
    for study in studies.values():
        note = " ".join(" ".join(words(study.rendered(name))).split())
        assert f"Judge: {synthetic.JUDGE}. Questions: {synthetic.QUESTIONS}." in note
        assert f"Note: {synthetic.NOTE}." in note


def test_an_ablation_stands_at_its_value_and_only_the_centre_is_ringed(studies):
    table = studies["usual"].table("ablations")
    above, below = studies["usual"].rendered("ablations").axes[0], studies["usual"].rendered("ablations").axes[2]
    # The other two experiments have the same made-up weights.
    part = table[table["experiment"].str.startswith("instruction") & (table["varied"] == "alpha")]
    (line,) = [found for found in above.lines if list(found.get_ydata()) == part["from_truth"].tolist()]
    assert [round(x) for x in line.get_xdata()] == [0, 1]
    rings = [found for found in below.lines if found.get_markersize() == 8]
    assert len(rings) == 3 and {found.get_ydata()[0] for found in rings} == {0.0}
    other = part[part["is_centre"] == ""].iloc[0]
    assert any(list(found.get_ydata()) == [0.0, other["difference"]] for found in below.lines)


def test_bars_of_models_are_the_mean_weights(studies):
    study = studies["one seed"]
    (axes,) = study.rendered("weights_by_model").axes
    table = study.table("weights_by_model")
    wanted = [table[table["method"] == method].set_index("source")["weight"][LANGUAGES[:2]] for method in study.methods]
    assert [[bar.get_width() for bar in group] for group in axes.containers] == [list(values) for values in wanted]


def test_thin_lines_of_models_are_the_intervals_of_their_weights(studies):
    study = studies["usual"]
    axes = study.rendered("weights_by_model").axes[0]
    table, group = study.table("weights_by_model"), study.settings("weights_by_model")["groups"][0]
    shown = [part[0, 0] for part in axes.collections[0].get_segments()]
    part = table[(table["experiment"] == group[0]["experiment"]) & (table["method"] == group[0]["method"])]
    assert shown == pytest.approx(part.drop_duplicates("source")["low"].tolist()) and "95%" in " ".join(
        words(study.rendered("weights_by_model"))
    )


def test_accuracies_stand_at_their_place_and_what_was_not_compared_is_told(studies):
    table = studies["one seed"].table("math")
    figure = studies["one seed"].rendered("math")
    whole = table[(table["grouping"] == "all") & (table["method"] == "scalebio")]
    blue = house.KNOWN_METHODS["scalebio"][0]
    marks, bars = lines(figure, color=blue, marker="o"), lines(figure, color=blue, marker="None")
    assert [line.get_xdata()[0] for line in marks] == pytest.approx((100 * whole["accuracy"]).tolist())
    assert [list(line.get_xdata()) for line in bars] == [
        pytest.approx(ends) for ends in (100 * whole[["low", "high"]]).values
    ]
    unparsed = int(table[table["grouping"] == "all"]["unparsed"].sum())
    assert unparsed and f"{unparsed} of 240 answers could not be compared" in " ".join(" ".join(words(figure)).split())


def test_what_is_planted_is_marked_and_the_baseline_is_a_level(studies):
    shown = words(studies["usual"].draw("final_weights", "multilingual"))
    assert {"expected", "scalebio", "all equal"} <= shown and "uniform" not in shown
    assert "expected" not in words(studies["odd"].draw("final_weights"))


@pytest.mark.parametrize(
    ("name", "more", "said"),
    [
        ("test_loss", {"append_validation": True}, True),
        ("test_loss", {"append_validation": False}, False),
        ("training_curves", {"append_validation": True}, True),
        ("training_curves", {"append_validation": True, "stage": "reweighting"}, False),
    ],
)
def test_validation_rows_in_training_stand_in_the_title(studies, name, more, said):
    shown = " ".join(words(studies["usual"].draw(name, **more)))
    assert ("[trained on validation rows too]" in shown) == said


def test_only_three_rates_and_each_once_are_a_series():
    assert house.a_series_of_rates([0, 0.5, 1]) and house.a_series_of_rates(NOISE.values())
    for rates in ([0, 1], [0, 0, 0, 1, 0, 0, 0], [0, 0.5, 1, 0], [0, 0, 0], [0, 0.5, np.nan], [np.nan] * 3, []):
        assert not house.a_series_of_rates(rates), rates


def test_a_series_of_rates_is_an_axis_and_a_scale_of_colours(studies):
    assert "spoiled answers (%)" in words(studies["usual"].rendered("final_weights", "denoising"))
    (diamonds,) = lines(studies["usual"].rendered("final_weights", "denoising"), marker="D")
    assert diamonds.get_xdata().tolist() == [0, 20, 40, 60, 80, 100]
    assert diamonds.get_ydata().tolist() == [1, 0, 0, 0, 0, 0]
    curves = studies["usual"].rendered("weights", "denoising")
    assert all(lines(curves, color=house.rate_colour(rate)) for rate in NOISE.values())
    assert any("Percent and colour: share of spoiled answers." in " ".join(text.split()) for text in words(curves))
    (diamond,) = lines(curves, marker="D")
    assert list(diamond.get_ydata()) == [1.0] and diamond.get_color() == house.rate_colour(0)


@pytest.mark.parametrize("experiment", ["instruction", "alpaca"])
def test_spoiled_sources_that_form_no_series_are_sources_like_others(studies, experiment):
    facts = studies["spoiled"].experiments[experiment]
    final = studies["spoiled"].rendered("final_weights", experiment)
    assert "spoiled answers (%)" not in words(final)
    assert [tick.get_text() for tick in final.axes[0].get_yticklabels()] == labels(experiment, facts)
    curves = studies["spoiled"].rendered("weights", experiment)
    drawn = [line for line in curves.axes[0].lines if len(line.get_xdata()) > 2]
    looks = [(line.get_color(), line.get_linestyle()) for line in drawn]
    assert len(set(looks)) == len(looks) == len(facts["sources"]) and looks[0][0] == house.PALETTE[0]
    assert "Percent and colour" not in " ".join(words(curves))


def test_a_truth_is_drawn_where_it_is_planted_and_never_made_up(studies):
    (diamonds,) = lines(studies["spoiled"].rendered("final_weights", "instruction"), marker="D")
    assert diamonds.get_xdata().tolist() == [0.4, 0.3, 0.3, 0, 0, 0, 0]
    curves = studies["spoiled"].rendered("weights", "instruction")
    assert [list(line.get_ydata()) for line in lines(curves, marker="D")] == [[0.4], [0.3], [0.3]]
    assert "Diamonds: planted shares." in " ".join(" ".join(words(curves)).split())
    for name in ("weights", "final_weights"):
        figure = studies["spoiled"].rendered(name, "alpaca")
        assert not lines(figure, marker="D") and "expected" not in words(figure)
        assert "Diamonds" not in " ".join(words(figure))


def test_reweighting_shows_learning_methods_only(studies):
    shown = words(studies["usual"].draw("training_curves", stage="reweighting"))
    assert {"L1(w): validation loss\n(nats per token)", "outer step", "scalebio"} <= shown and "uniform" not in shown


@pytest.mark.parametrize("stage", ["finetuning", "reweighting"])
def test_a_single_step_is_a_point(studies, stage):
    table = studies["usual"].table("training_curves")
    table = table[(table["step"] == 0) & ((table["split"] != "validation") | (table["method"] != "uniform"))]
    with house.style():
        figure = import_module("scalebio.figures.training_curves").draw(table, {"stage": stage})
    points = lines(figure)
    assert points and all(len(line.get_xdata()) == 1 and line.get_marker() not in ("", "None") for line in points)
    for axes in figure.axes:
        assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0"]
    assert any("Point: mean over 3 seeds; bar: lowest to highest seed." in " ".join(t.split()) for t in words(figure))


def test_every_figure_of_weights_shows_the_interval_that_the_table_has(studies):
    study = studies["spoiled"]
    table = tidy.read_csv(study.paths["weight_intervals"], ["source", "low", "high"])
    told = table[(table["experiment"] == "instruction") & (table["method"] == "scalebio")].set_index("source")
    ends = [[pytest.approx(value) for value in pair] for pair in told.loc[SKILLS, ["low", "high"]].to_numpy()]
    for name, axis in (("final_weights", 0), ("weights", 1)):
        figure = study.rendered(name, "instruction")
        bars = [path.vertices[:, axis].tolist() for bars in figure.axes[0].collections for path in bars.get_paths()]
        assert [bar for bar in bars if len(bar) == 2] == ends
        assert "95% interval" in " ".join(" ".join(words(figure)).split())
        bootstrapped = " ".join(" ".join(words(study.draw(name, "instruction", validation_bootstrap=True))).split())
        assert "over seeds and validation rows" in bootstrapped


def test_one_seed_says_so(studies):
    for name in ("weights", "final_weights", "test_loss", "training_curves", "mixtures"):
        assert any("One seed" in text for text in words(studies["one seed"].draw(name)))
    assert any("over questions, one seed" in " ".join(t.split()) for t in words(studies["one seed"].draw("mtbench")))
