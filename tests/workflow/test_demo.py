"""The demo study itself, run whole, and what it has to show on three seeds out of three."""

import shutil

import pandas as pd
import pytest
from clones import new_clone

from scalebio.statistics import exceeds_spread

pytestmark = pytest.mark.slow
NEEDED = ["sums", "spelling", "complex"]
NOISE = ["noise_0", "noise_20", "noise_40", "noise_60", "noise_80", "noise_100"]


@pytest.fixture(scope="module")
def demo(root, tmp_path_factory):
    """The results folder of a complete demo run in a copy of the repository; the copy is removed afterwards."""
    clone = new_clone(root, tmp_path_factory.mktemp("demo") / "clone")
    # Looking for work after every job takes Snakemake a third of a core in the end, and the machine is busy (profiles/local).
    clone.run("--max-jobs-per-timespan", "600/5s", study="config/demo.yaml")
    yield clone.path / "results" / "demo"
    shutil.rmtree(clone.path)


@pytest.fixture(scope="module")
def weights(demo) -> pd.DataFrame:
    """Rows: (experiment, seed); columns: sources; ScaleBiO's final weights."""
    table = pd.read_csv(demo / "tables" / "weights.csv")
    table = table[table["method"] == "scalebio"]
    assert sorted(table["seed"].unique()) == [0, 1, 2]
    return table.pivot(index=["experiment", "seed"], columns="source", values="weight")


def test_denoising_finds_the_clean_source_and_the_order(weights):
    denoising = weights.loc["denoising", NOISE]
    assert (denoising["noise_0"] >= 0.9).all(), denoising
    # Fully spoiled sources all but vanish; below half a percent their order is noise.
    assert (denoising.diff(axis=1).iloc[:, 1:] <= 0.005).all(axis=None), denoising


def test_multilingual_finds_the_target_language(weights):
    assert (weights.loc["multilingual", "german"] >= 0.9).all(), weights.loc["multilingual"]


def test_instruction_puts_the_mass_on_the_needed_skills(weights):
    assert (weights.loc["instruction", NEEDED].sum(axis=1) >= 0.9).all(), weights.loc["instruction"]


@pytest.mark.parametrize("experiment", ["denoising", "multilingual", "instruction"])
def test_the_learned_mixture_beats_uniform_by_more_than_the_seed_spread(demo, experiment):
    table = pd.read_csv(demo / "tables" / "test_loss.csv")
    losses = table[table["experiment"] == experiment].pivot(index="seed", columns="method", values="test_loss")
    assert (losses["scalebio"] < losses["uniform"]).all(), losses
    assert exceeds_spread(losses["scalebio"], losses["uniform"]), losses


def test_figures_tables_and_label_are_there(demo):
    assert {path.suffix for path in (demo / "figures").iterdir()} >= {".png", ".pdf"}
    scores = pd.read_csv(demo / "tables" / "mtbench.csv")
    assert scores["judge"].str.contains("not an LLM").all()


def test_no_job_took_more_than_2_gb(demo):
    costs = pd.read_csv(demo / "tables" / "costs.csv")
    assert costs["max_memory_mb"].max() < 2000, costs
