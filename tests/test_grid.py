"""The trained grid: its lattice, regret without the luck of the best (in simulation), its journal, table and figure."""

import json
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.text import Text

from scalebio import grid_regret, planted_grid
from scalebio.config_methods import Uniform
from scalebio.figures import grid as figure
from scalebio.figures import house
from scalebio.journal import Journal
from scalebio.tables import grid as table


@pytest.mark.parametrize(("sources", "parts"), [(3, 10), (4, 5), (2, 4)])
def test_the_lattice_has_every_mixture_of_its_step_once(sources, parts):
    points = planted_grid.lattice(sources, parts)
    assert len(points) == math.comb(parts + sources - 1, sources - 1)
    counts = np.rint(points * parts).astype(int)
    np.testing.assert_allclose(points, counts / parts, atol=1e-15)
    assert (counts.sum(axis=1) == parts).all() and (counts >= 0).all() and len(set(map(tuple, counts))) == len(points)


def test_on_noise_alone_the_least_mean_flatters_and_the_loss_with_other_seeds_does_not():
    """66 mixtures that are all alike, 2 seeds, noise of deviation 1: the true minimum, and any regret, is 0."""
    rng = np.random.default_rng(0)
    naive, crossed, against_naive, against_fresh = [], [], [], []
    for _ in range(2000):
        losses = rng.normal(size=(66, 2))
        best, other, uniform = rng.normal(size=(3, 5))  # with fresh seeds; the chosen point is no better there
        naive.append(grid_regret.naive_minimum(losses))
        crossed.append(grid_regret.crossed_minimum(losses))
        against_naive.append(other.mean() - naive[-1])
        against_fresh.append(grid_regret.regret(other, best, uniform).nats)
    # The mean of the least of 66 normal numbers is -2.4 deviations, here of 1 / sqrt(2).
    assert np.mean(naive) == pytest.approx(-2.4 / np.sqrt(2), abs=0.05)
    assert np.mean(against_naive) == pytest.approx(2.4 / np.sqrt(2), abs=0.05)
    assert np.mean(crossed) == pytest.approx(0, abs=0.05)
    assert np.mean(against_fresh) == pytest.approx(0, abs=0.05)


def test_the_noise_floor_holds_in_95_of_100_cases():
    rng = np.random.default_rng(1)
    inside = []
    for _ in range(2000):
        one, other, again, further = rng.normal(size=(4, 5))
        inside.append(abs(one.mean() - other.mean()) <= grid_regret.noise_floor(again, further))
    assert np.mean(inside) == pytest.approx(0.95, abs=0.015)


def test_regret_by_hand():
    found = grid_regret.regret(np.array([1.2, 1.4]), np.array([1.0, 1.1]), np.array([2.0, 2.1]))
    assert found.nats == pytest.approx(0.25) and found.share == pytest.approx(0.25)
    # t(.975, 1) = 12.7062, standard error .05.
    assert found.low == pytest.approx(0.25 - 12.7062 * 0.05, abs=1e-4) == pytest.approx(found.share_low, abs=1e-4)
    assert grid_regret.best_point(np.array([[3.0, 1.0], [1.0, 2.0], [2.0, 1.0]])) == 1


@pytest.fixture
def short(monkeypatch):
    """A grid whose training is a formula with noise by seed, and what was trained."""
    trained = []

    def loss(task, base, weights, steps, seed, **recipe):
        trained.append((tuple(weights), seed))
        return float(np.square(weights - task.truth).sum() + 0.01 * np.sin(17 * weights[0] + seed))

    monkeypatch.setattr(planted_grid.planted, "trained_loss", loss)
    monkeypatch.setattr(planted_grid, "METHODS", {"improved": (Uniform(kind="uniform"), (40, 41))})
    return trained


def measure(folder, parts, code):
    with Journal(folder / "journal.jsonl") as pieces:
        return planted_grid.measure("conf631", 40, parts, pieces, code, lambda *seen: None)


def test_a_grid_goes_on_from_its_journal_and_a_finer_one_trains_only_what_is_new(short, tmp_path):
    code = [tmp_path / "code.py"]
    code[0].write_text("one")
    rows = measure(tmp_path, 5, code)
    fresh = pd.DataFrame(rows).query("role == 'fresh'")
    assert fresh["label"].value_counts().to_dict() == {"improved": 10, "grid best": 5, "uniform": 5, "oracle": 5}
    # Not on the lattice of fifths, but the best there is.
    assert fresh[fresh["label"] == "grid best"]["weights"].unique().tolist() == ["0.6 0.3 0.1"]
    assert not set(fresh["training_seed"]) & set(planted_grid.LATTICE_SEEDS)
    made = len(short)
    assert made == len(set(short))  # equal weights three times over were trained once a seed
    assert measure(tmp_path, 5, code) == rows and len(short) == made
    measure(tmp_path, 10, code)
    assert len(short) - made == (66 - 21 - 1) * 2
    code[0].write_text("two")
    measure(tmp_path, 5, code)
    assert len(short) == 2 * made + 88


@pytest.fixture
def runs(short, tmp_path):
    code = [tmp_path / "code.py"]
    code[0].write_text("")
    frames = []
    for name in ("conf631", "conf73"):
        with Journal(tmp_path / f"{name}.jsonl") as pieces:
            frames.append(pd.DataFrame(planted_grid.measure(name, 40, 5, pieces, code, lambda *seen: None)))
    return pd.concat(frames, ignore_index=True)


def test_table_figure_and_entry_point(runs, tmp_path, root):
    frame = table.table(runs)
    assert frame.groupby("task")["label"].apply(list).to_dict() == dict.fromkeys(
        ("conf631", "conf73"), ["grid best", "uniform", "oracle", "improved", "improved"]
    )
    by_label = frame[frame["task"] == "conf631"].drop_duplicates("label").set_index("label")
    assert by_label.loc["grid best", "share"] == 0 and by_label.loc["uniform", "share"] == pytest.approx(1)
    assert by_label.loc["oracle", "regret"] < 0.01 and by_label.loc["uniform", "points"] == 22
    assert by_label.loc["improved", "share"] == pytest.approx(1)  # it is equal weights here
    assert table.verdicts(frame) == [
        "improved: regret at most 10% of uniform's on 0 of 2 tasks (conf631 100.0%, conf73 100.0%)."
    ]
    with house.style():
        drawn = figure.draw(runs, {})
    words = {text.get_text() for text in drawn.findobj(Text)}
    assert {"conf631", "conf73", "source 1", "share of source 1", "uniform", "oracle", "improved"} <= words
    runs.to_csv(tmp_path / "runs.csv", index=False)
    command = [sys.executable, root / "scripts" / "tabulate_grid.py", tmp_path / "runs.csv"]
    for name in ("csv", "markdown", "latex", "pdf", "png"):
        command += [f"--{name}", tmp_path / f"out.{name}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all((tmp_path / f"out.{name}").stat().st_size for name in ("csv", "markdown", "latex", "pdf", "png"))
    assert "0 of 2 tasks" in (tmp_path / "out.markdown").read_text()
    made = json.loads((tmp_path / "out.provenance.json").read_text())["provenance"]
    assert made["inputs"]["runs 0"]["path"].endswith("runs.csv") and set(made["outputs"]) == {
        *"csv markdown latex pdf png".split()
    }


def test_places_in_the_triangle_keep_distances():
    corners = figure.places(np.eye(3))
    assert [np.linalg.norm(corners[i] - corners[j]) for i, j in ((0, 1), (0, 2), (1, 2))] == pytest.approx([1, 1, 1])
    np.testing.assert_allclose(figure.places(np.full((1, 3), 1 / 3)), [corners.mean(axis=0)])


def test_rivals_have_the_settings_of_the_comparison(root):
    overlay = yaml.safe_load((root / "config/overlays/baselines.yaml").read_text())["methods"]
    named = {name.lower().replace("-", "_"): settings for name, settings in planted_grid.RIVALS.items()}
    assert named.keys() == overlay.keys() - {"oracle", "scalebio_improved", "scalebio_double"}
    for name, settings in named.items():
        assert type(settings).model_validate(overlay[name]) == settings
