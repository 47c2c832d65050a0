"""Drawing by weight: exact counts, whole passes before repeats, and a limit that refuses."""

import json
import re
from collections import Counter

import jobs
import pytest

from scalebio import records
from scalebio.allotment import allot
from scalebio.errors import UserError
from scalebio.mixture import draw, realised


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
        "Lower `finetuning.rows`, add rows, or raise `max_repeat`."
    )
    with pytest.raises(UserError, match=re.escape(message)):
        draw({"small": 0.9, "large": 0.1}, {"small": 20, "large": 500}, 100, 0, {"small": 4, "large": None})
    assert len(draw({"small": 0.9, "large": 0.1}, {"small": 20, "large": 500}, 100, 0, {"small": 5})["small"]) == 90


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
    }
    assert shares["b"]["repeats"] == 1 and shares["b"]["token_share"] == pytest.approx(0.9)


@pytest.mark.slow
def test_validation_rows_come_on_top_of_the_drawn_ones_each_once(tiny, tmp_path):
    jobs.make_inputs(tiny, tmp_path)
    weights = {"right": 0.6, "half": 0.4, "wrong": 0.0}
    (tmp_path / "weights.json").write_text(json.dumps({"weights": weights}))
    settings = {"rows": 50, "seed": 3, "max_repeat": {}, "max_length": 64}
    mixture, manifest = tmp_path / "drawn.parquet", tmp_path / "drawn.json"
    command = [
        *("scripts/draw_mixture.py", "--settings", json.dumps(settings), "--weights", f"{tmp_path}/weights.json"),
        *("--train", f"{tmp_path}/train.parquet", "--model", f"{tmp_path}/base/provenance.json"),
        *("--validation", f"{tmp_path}/validation.parquet", "--output", str(mixture), "--manifest", str(manifest)),
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
