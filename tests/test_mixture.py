"""Drawing by weight: exact counts, whole passes before repeats, a limit that refuses, and the best-scored rows first."""

import json
import re
from collections import Counter

import jobs
import numpy as np
import pandas as pd
import pytest

from scalebio import records, row_scores
from scalebio.allotment import allot
from scalebio.errors import UserError
from scalebio.mixture import draw, realised, supplied


def test_counts_are_exact_and_sum_up():
    weights = {"a": 0.5, "b": 0.3, "c": 0.2, "d": 0.0}
    chosen = draw(weights, {"a": 100, "b": 100, "c": 100, "d": 100}, 101, 0, {})
    assert {name: len(rows) for name, rows in chosen.items()} == {"a": 51, "b": 30, "c": 20, "d": 0}


@pytest.mark.parametrize("rows", [1, 7, 64, 1000])
def test_allotment_is_never_off_by_more_than_one_row(rows):
    shares = {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3 - 1e-9, "d": 1e-9}
    counts = allot(rows, shares)
    assert sum(counts.values()) == rows
    assert all(abs(counts[name] - rows * share / sum(shares.values())) < 1 for name, share in shares.items())


def test_no_row_comes_twice_before_every_row_came_once():
    once = draw({"a": 1.0}, {"a": 50}, 50, 0, {})["a"]
    assert sorted(once) == list(range(50)) and list(once) != list(range(50))
    part = draw({"a": 1.0}, {"a": 50}, 30, 0, {})["a"]
    assert len(set(part)) == 30


def test_repeats_are_even():
    repeated = Counter(draw({"a": 1.0}, {"a": 20}, 50, 0, {})["a"].tolist())
    assert set(repeated.values()) == {2, 3} and len(repeated) == 20


def test_draws_depend_on_seed_and_source_and_on_no_other_weight():
    available = {"a": 40, "b": 40, "c": 40}
    one = draw({"a": 0.5, "b": 0.5, "c": 0.0}, available, 40, 0, {})
    assert list(one["a"]) == list(draw({"a": 0.5, "b": 0.25, "c": 0.25}, available, 40, 0, {})["a"])
    assert list(one["a"]) != list(one["b"])
    assert list(one["a"]) != list(draw({"a": 0.5, "b": 0.5, "c": 0.0}, available, 40, 1, {})["a"])


def test_a_larger_draw_begins_with_the_smaller_one():
    small, large = (draw({"a": 1.0}, {"a": 30}, rows, 0, {})["a"] for rows in (10, 25))
    assert list(large[:10]) == list(small)


def test_too_many_repeats_are_refused_with_the_way_out():
    message = (
        "source small: weight 0.900 asks for 90 rows, 5 times each of its 20; max_repeat is 4. "
        "Lower `finetuning.rows`, add rows, raise `max_repeat`, or set `over_supply: cap`"
    )
    with pytest.raises(UserError, match=re.escape(message)):
        draw({"small": 0.9, "large": 0.1}, {"small": 20, "large": 500}, 100, 0, {"small": 4, "large": None})
    assert len(draw({"small": 0.9, "large": 0.1}, {"small": 20, "large": 500}, 100, 0, {"small": 5})["small"]) == 90


def test_a_cap_gives_what_a_source_lacks_to_the_others_by_their_weights():
    """By hand: a asks for 60 and may give 20; b and c share 80 as 3 : 1, and d is at 0. Then b may give 50: c gives 30."""
    weights = {"a": 0.6, "b": 0.3, "c": 0.1, "d": 0.0}
    available = {"a": 10, "b": 25, "c": 500, "d": 500}
    assert supplied(weights, available, 100, {"a": 2}, "cap") == {"a": 20, "b": 60, "c": 20, "d": 0}
    limits = {"a": 2, "b": 2, "c": None}
    counts = {"a": 20, "b": 50, "c": 30, "d": 0}
    assert supplied(weights, available, 100, limits, "cap") == counts
    chosen = draw(weights, available, 100, 0, limits, over_supply="cap")
    assert {name: len(rows) for name, rows in chosen.items()} == counts
    assert set(Counter(chosen["a"].tolist()).values()) == {2}
    shares = realised(weights, available, counts, counts)
    assert {name: facts["capped"] for name, facts in shares.items()} == {"a": 40, "b": 0, "c": 0, "d": 0}
    with pytest.raises(UserError, match=r"all sources with a weight together give 75 \(a 20, c 5, b 50\)"):
        supplied(weights, available | {"c": 5}, 100, limits | {"c": 1}, "cap")


def test_realised_shares_of_rows_and_tokens():
    shares = realised({"a": 0.7, "b": 0.3}, {"a": 3, "b": 100}, {"a": 70, "b": 630}, {"a": 7, "b": 3})
    assert shares["a"] == {
        "asked": 0.7,
        "rows": 7,
        "share": 0.7,
        "tokens": 70,
        "token_share": 0.1,
        "repeats": 3,
        "available": 3,
        "capped": 0,
    }
    assert shares["b"]["repeats"] == 1 and shares["b"]["token_share"] == pytest.approx(0.9)


@pytest.mark.slow
def test_validation_rows_come_on_top_of_the_drawn_ones_each_once(tiny, tmp_path):
    jobs.make_inputs(tiny, tmp_path)
    weights = {"right": 0.6, "half": 0.4, "wrong": 0.0}
    (tmp_path / "weights.json").write_text(json.dumps({"weights": weights}))
    row_scores.write(tmp_path / "row_scores.parquet", list(weights), None)
    settings = {"rows": 50, "seed": 3, "max_repeat": {}, "max_length": 64}
    mixture, manifest = tmp_path / "drawn.parquet", tmp_path / "drawn.json"
    command = [
        *("scripts/draw_mixture.py", "--settings", json.dumps(settings), "--weights", f"{tmp_path}/weights.json"),
        *("--train", f"{tmp_path}/train.parquet", "--model", f"{tmp_path}/base/provenance.json"),
        *("--row-scores", f"{tmp_path}/row_scores.parquet", "--validation", f"{tmp_path}/validation.parquet"),
        *("--output", str(mixture), "--manifest", str(manifest)),
    ]
    jobs.run(command)

    def keys(rows):
        return Counter((row.source, row.row) for row in rows)

    validation = keys(records.read(tmp_path / "validation.parquet"))
    drawn = draw(weights, dict.fromkeys(weights, 30), 50, 3, {})
    expected = Counter((name, int(i)) for name, indices in drawn.items() for i in indices)
    assert keys(records.read(mixture)) == expected + validation and len(validation) == 20
    facts = json.loads(manifest.read_text())
    assert facts["rows"] == 70 and facts["validation"]["rows"] == 20 and facts["validation"]["tokens"] > 20 * 8
    # Shares are of what was drawn by weight.
    assert {name: entry["share"] for name, entry in facts["sources"].items()} == weights


# --- rows with scores ---


def test_without_scores_the_draw_is_what_it_was_before_there_were_any():
    pinned = [6, 2, 4, 0, 3, 7, 5, 1, 6, 5, 7, 2]
    assert draw({"a": 1.0}, {"a": 8}, 12, 0, {})["a"].tolist() == pinned
    nothing_scored = {"a": np.full(8, np.nan)}
    assert draw({"a": 1.0}, {"a": 8}, 12, 0, {}, nothing_scored)["a"].tolist() == pinned


def test_the_best_rows_come_first_then_those_without_a_score_and_only_then_any_again():
    nan = np.nan
    scores = {"a": np.array([0.1, nan, 0.9, -3.0, nan, 0.5])}
    taken = draw({"a": 1.0}, {"a": 6}, 8, 0, {}, scores)["a"].tolist()
    assert taken[:4] == [2, 5, 0, 3] and sorted(taken[4:6]) == [1, 4] and taken[6:] == [2, 5]
    few = draw({"a": 0.5, "b": 0.5}, {"a": 6, "b": 30}, 4, 0, {}, scores | {"b": np.full(30, nan)})
    assert few["a"].tolist() == [2, 5]
    assert few["b"].tolist() == draw({"a": 0.5, "b": 0.5}, {"a": 6, "b": 30}, 4, 0, {})["b"].tolist()


def test_equal_scores_come_in_random_order():
    orders = {tuple(draw({"a": 1.0}, {"a": 9}, 9, seed, {}, {"a": np.zeros(9)})["a"].tolist()) for seed in range(4)}
    assert len(orders) == 4


def test_scores_come_back_as_written_and_rows_without_one_have_no_line(tmp_path):
    path = tmp_path / "row_scores.parquet"
    row_scores.write(path, ["a", "NA"], [np.array([0.5, np.nan, -1.0]), np.array([2.0])])
    table = pd.read_parquet(path)
    assert table.to_dict("list") == {"source": ["a", "a", "NA"], "row": [0, 2, 0], "score": [0.5, -1.0, 2.0]}
    scores = row_scores.read(path, {"a": 5, "NA": 1, "b": 2})
    np.testing.assert_array_equal(scores["a"], [0.5, np.nan, -1.0, np.nan, np.nan])
    assert scores["NA"].tolist() == [2.0] and np.isnan(scores["b"]).all()


def test_a_method_without_scores_leaves_an_empty_table_of_the_same_columns(tmp_path):
    path = tmp_path / "row_scores.parquet"
    row_scores.write(path, ["a"], None)
    assert {name: str(kind) for name, kind in pd.read_parquet(path).dtypes.items()} == row_scores.COLUMNS
    assert np.isnan(row_scores.read(path, {"a": 3})["a"]).all()


def test_scores_of_another_pool_are_refused(tmp_path):
    path = tmp_path / "row_scores.parquet"
    row_scores.write(path, ["a"], [np.arange(4.0)])
    with pytest.raises(UserError, match="scores row 3 of source a, which has 3 rows in the pool.*learn them again"):
        row_scores.read(path, {"a": 3})
    with pytest.raises(UserError, match="of source a, which has 0 rows"):
        row_scores.read(path, {"b": 9})


@pytest.mark.slow
def test_scores_go_from_the_method_through_the_file_into_the_mixture(tiny, tmp_path):
    """Weights are learnt on the first 20 of 30 rows a source; the mixture takes the best of these, and then the others."""
    jobs.make_inputs(tiny, tmp_path)
    method = {"kind": "rho_loss", "select": "rows", "steps": 3, "learning_rate": 1e-3, "per_source": 20, "ramp": 0}
    method |= {"keep": 0.5, "reference_steps": 4, "reference_learning_rate": 3e-3, "reference_batch": 8}
    settings = {"experiment": "sums", "method": "rho", "settings": method, "seed": 0, "sources": jobs.SOURCES}
    settings |= {"max_length": 64, "lisa": None, "pool_rows": 20}
    files = ("--model", f"{tmp_path}/base/provenance.json", "--train", f"{tmp_path}/train.parquet")
    weights = ("--row-scores", f"{tmp_path}/row_scores.parquet")
    out = ("--output", f"{tmp_path}/weights.json", "--trajectory", f"{tmp_path}/trajectory.parquet")
    more = ("--validation", f"{tmp_path}/validation.parquet", *out, *weights)
    jobs.run(["scripts/learn_weights.py", "--settings", json.dumps(settings), *files, *more])
    table = pd.read_parquet(tmp_path / "row_scores.parquet")
    assert {name: sorted(part["row"]) for name, part in table.groupby("source")} == {
        name: list(range(20)) for name in jobs.SOURCES
    }
    learned = json.loads((tmp_path / "weights.json").read_text())
    assert learned["cost"]["forward_tokens"] > learned["cost"]["backward_tokens"] > 0

    settings = {"rows": 45, "seed": 0, "max_repeat": {}, "max_length": 64}
    out = ("--output", f"{tmp_path}/drawn.parquet", "--manifest", f"{tmp_path}/drawn.json")
    more = ("--weights", f"{tmp_path}/weights.json", *weights, *out)
    jobs.run(["scripts/draw_mixture.py", "--settings", json.dumps(settings), *files, *more])
    assert "row_scores" in json.loads((tmp_path / "drawn.json").read_text())["provenance"]["inputs"]
    drawn = records.read(tmp_path / "drawn.parquet")
    for name, count in allot(45, learned["weights"]).items():
        best = table[table["source"] == name].sort_values("score", ascending=False)["row"].tolist()
        taken = [record.row for record in drawn if record.source == name]
        assert len(taken) == count and set(best[:count]) <= set(taken)
        assert set(taken) - set(best) <= set(range(20, 30))
