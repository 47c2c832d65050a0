"""Weights taken from another experiment: what is refused, what is recorded, and the table of transfer against cases by hand."""

import itertools
import json
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from scalebio import row_scores, transfer
from scalebio.errors import UserError
from scalebio.statistics import paired_difference
from scalebio.tables import inputs, summary
from scalebio.tables import transfer as table_of
from scalebio.tables.runs import Run

HASHES = {"a": "1" * 64, "b": "2" * 64}
LEARNED = {"weights": {"b": 0.75, "a": 0.25}, "method": "scalebio", "seed": 0}


def test_weights_come_over_in_the_order_of_the_sources_that_take_them():
    taken = transfer.take(LEARNED, "to", HASHES, "from", HASHES)
    assert list(taken.items()) == [("a", 0.25), ("b", 0.75)]


def test_other_names_and_other_rows_are_refused():
    more = HASHES | {"c": "3" * 64}
    with pytest.raises(UserError, match="`to` takes its weights from `from`, and c stand in only one"):
        transfer.take(LEARNED, "to", more, "from", HASHES)
    with pytest.raises(UserError, match="rows of a source are not the same .sha256 b: 222222222222 here, 333333333333"):
        transfer.take(LEARNED, "to", HASHES, "from", HASHES | {"b": "3" * 64})


@pytest.fixture
def command(root, tmp_path):
    """command(**changes of files) → the entry point's process, as a rule starts it, with a torch that cannot be loaded."""

    def write(path, content):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content if isinstance(content, str) else json.dumps(content))

    def run(learned=LEARNED, tokenizer="same"):
        write("weights.json", learned)
        write("theirs.json", {"sources": HASHES | {"reference": "0" * 64}})
        write("pool.json", {"sources": HASHES})
        for folder, text in (("big", tokenizer), ("small", "same")):
            write(f"{folder}/tokenizer.json", text)
            write(f"{folder}/provenance.json", {"provenance": {"chat_template_sha256": "same"}})
        write("no torch/torch.py", "raise AssertionError('torch is loaded')")
        settings = {"experiment": "to", "method": "scalebio", "seed": 0, "sources": ["a", "b"], "model": "big"}
        settings["origin"] = {"experiment": "from", "model": "small"}
        files = {"weights": "weights.json", "their-pool": "theirs.json", "pool": "pool.json"}
        files |= {"their-model": "small/provenance.json", "model": "big/provenance.json"}
        write("train.parquet", "ours")
        write("their_train.parquet", "theirs")
        row_scores.write(tmp_path / "scores.parquet", ["a", "b"], None)
        files |= {"train": "train.parquet", "their-train": "their_train.parquet", "row-scores": "scores.parquet"}
        files |= {"scores": "out/row_scores.parquet"}
        files |= {"output": "out/weights.json", "trajectory": "out/trajectory.parquet"}
        options = [word for name, file in files.items() for word in (f"--{name}", tmp_path / file)]
        return subprocess.run(
            [sys.executable, root / "scripts/transfer_weights.py", "--settings", json.dumps(settings), *options],
            capture_output=True,
            text=True,
            env={"PATH": "", "PYTHONPATH": str(tmp_path / "no torch")},
        )

    return run


def test_the_entry_point_records_and_tells_what_reads_differently(command, tmp_path):
    done = command(tokenizer="other")
    assert done.returncode == 0, done.stderr
    assert "taken from from; learned with model small, used with big; changed: tokenizer" in done.stdout
    made = json.loads((tmp_path / "out/weights.json").read_text())
    assert made["weights"] == {"a": 0.25, "b": 0.75} and (made["method"], made["seed"]) == ("scalebio", 0)
    expected = {"from": "from", "model": "small", "template_changed": False, "tokenizer_changed": True}
    assert made["transferred"] == expected and made["cost"] == {"forward_tokens": 0, "backward_tokens": 0}
    assert set(made["provenance"]["inputs"]) == {
        *("weights", "pool", "their_pool", "model", "their_model", "row_scores", "train", "their_train")
    }
    assert row_scores.read(tmp_path / "out/row_scores.parquet", {}) == {}
    trajectory = pd.read_parquet(tmp_path / "out/trajectory.parquet")
    assert trajectory.empty and list(trajectory.columns) == ["step", "source", "quantity", "value"]


def test_scores_of_rows_come_over_with_the_pool_they_belong_to_and_with_no_other(tmp_path):
    scores, train, other = (tmp_path / name for name in ("scores.parquet", "train.parquet", "other.parquet"))
    row_scores.write(scores, ["a"], [np.array([0.5, 2.0])])
    train.write_text("rows")
    other.write_text("other rows")
    transfer.take_scores(scores, tmp_path / "taken.parquet", train, train)
    assert row_scores.read(tmp_path / "taken.parquet", {"a": 2})["a"].tolist() == [0.5, 2.0]
    with pytest.raises(
        UserError, match="scores of single rows, and .*train.parquet is not the pool they were given to"
    ):
        transfer.take_scores(scores, tmp_path / "refused.parquet", train, other)
    assert not (tmp_path / "refused.parquet").exists()


def test_the_entry_point_refuses_another_run(command, tmp_path):
    done = command(learned=LEARNED | {"seed": 1})
    assert done.returncode == 2 and "its seed is 1; expected 0" in done.stderr
    assert not (tmp_path / "out/weights.json").exists()


# --- the table ---------------------------------------------------------------------------------------------------


def kendall_by_pairs(p, q):
    """τ-b from its definition: concordant minus discordant pairs, over the pairs that are not tied, in each and together."""
    signs = [(np.sign(p[i] - p[j]), np.sign(q[i] - q[j])) for i, j in itertools.combinations(range(len(p)), 2)]
    untied = math.prod(sum(bool(pair[side]) for pair in signs) for side in (0, 1))
    return sum(one * other for one, other in signs) / math.sqrt(untied)


def spearman_by_ranks(p, q):
    """Pearson correlation of ranks, ties at their mean rank."""
    ranks = [[(values < value).sum() + ((values == value).sum() + 1) / 2 for value in values] for values in (p, q)]
    return np.corrcoef(*ranks)[0, 1]


def test_rank_correlations_agree_with_their_definitions_also_with_ties():
    p, q = np.array([0.4, 0.3, 0.15, 0.15, 0.0]), np.array([0.2, 0.5, 0.2, 0.1, 0.0])
    assert table_of.ranks_agree(p, q) == pytest.approx((spearman_by_ranks(p, q), kendall_by_pairs(p, q)))
    assert table_of.ranks_agree(p, 1 - p) == pytest.approx((-1, -1))
    assert all(map(math.isnan, table_of.ranks_agree(p, np.full(5, 0.2))))


def runs_of(experiment, weights, losses):
    """Weights and metrics of one experiment by seed, as the loaders give them."""
    names = ["a", "b", "c"]
    run = [Run(experiment, "scalebio", seed) for seed in range(len(losses))]
    return (
        [(one, {"weights": dict(zip(names, values, strict=True))}) for one, values in zip(run, weights, strict=True)],
        [(one, {"test_loss": loss}) for one, loss in zip(run, losses, strict=True)],
    )


def made(*experiments, own="big", transferred="moved"):
    """The one row of a table for a pair of models."""
    weights, metrics = ([entry for group in kind for entry in group] for kind in zip(*experiments, strict=True))
    pair = {"from": "small", "model": "m", "for_model": "n", "methods": ["scalebio"]}
    frame = table_of.table(weights, metrics, [pair | {"own": own, "transferred": transferred}])
    assert list(frame.columns) == table_of.COLUMNS and "cannot say" in summary.render("transfer", frame).markdown()
    return frame.iloc[0]


def test_agreement_is_of_mean_weights_and_regret_is_paired_by_seed():
    row = made(
        runs_of("small", [[0.6, 0.3, 0.1], [0.4, 0.5, 0.1]], [9, 9]),
        runs_of("big", [[0.7, 0.2, 0.1], [0.7, 0.2, 0.1]], [1.0, 2.0]),
        runs_of("moved", [[0.6, 0.3, 0.1], [0.4, 0.5, 0.1]], [1.1, 2.3]),
    )
    # Means: .5 .4 .1 against .7 .2 .1; the seeds of the first are .2 apart, those of the second not at all.
    assert row[["spearman", "kendall"]].tolist() == pytest.approx([1, 1])
    assert row[["total_variation", "seed_variation"]].tolist() == pytest.approx([0.2, 0.2])
    expected = paired_difference({0: 1.1, 1: 2.3}, {0: 1.0, 1: 2.0})
    assert row[["regret", "low", "high"]].tolist() == pytest.approx([0.2, expected.low, expected.high])
    assert (row["n"], row["seeds"], row["verdict"], row["cannot_say"]) == (2, 2, "not distinguishable", "")


def test_another_tokenizer_or_template_is_told():
    small, big = runs_of("small", [[0.6, 0.3, 0.1]], [9]), runs_of("big", [[0.1, 0.3, 0.6]], [1.0])
    weights, metrics = runs_of("moved", [[0.6, 0.3, 0.1]], [1.5])
    assert made(small, big, (weights, metrics))["changed"] == ""
    weights[0][1]["transferred"] = {"template_changed": True, "tokenizer_changed": True}
    assert made(small, big, (weights, metrics))["changed"] == "template, tokenizer"


def test_a_table_without_pairs_is_refused():
    with pytest.raises(UserError, match="`pairs` is empty"):
        inputs.build("transfer", {"runs": []})


def test_one_seed_and_what_is_missing_are_said():
    small, big = runs_of("small", [[0.6, 0.3, 0.1]], [9]), runs_of("big", [[0.1, 0.3, 0.6]], [1.0])
    moved = runs_of("moved", [[0.6, 0.3, 0.1]], [1.5])
    row = made(small, big, moved)
    assert row["kendall"] == pytest.approx(-1) and row["regret"] == 0.5 and math.isnan(row["low"])
    assert math.isnan(row["seed_variation"]) and row["cannot_say"].startswith("one seed:")
    assert row["cannot_say"].endswith("one pair: no interval")
    row = made(small, moved, own=None)
    assert math.isnan(row["total_variation"]) and math.isnan(row["regret"]) and row["seeds"] == 1
    assert row["cannot_say"] == "no weights were learned with n: no agreement, no regret"
    row = made(small, big, transferred=None)
    assert row["n"] == 0 and "no model was trained on these: no regret" in row["cannot_say"]
    row = made(small, runs_of("big", [[1 / 3] * 3], [1.0]), moved)
    assert math.isnan(row["spearman"]) and "all weights of a model are equal: no ranks" in row["cannot_say"]
