"""What a study varies, derived from its methods and models: each with its centre, and nothing where two things differ."""

import copy

import pytest
from good_study import merged

from scalebio.config_methods import ScaleBiO
from scalebio.study import load_study
from scalebio.varied import single_difference, variations


@pytest.fixture(scope="module")
def studies(root):
    demo, ablations = root / "config/demo.yaml", root / "config/overlays/ablations.yaml"
    return {"demo": merged(demo), "ablations": merged(demo, ablations)}


def test_the_overlay_varies_what_it_says_around_the_demos_own_settings(studies):
    study = load_study(copy.deepcopy(studies["ablations"]))
    assert study.methods["scalebio"] == load_study(copy.deepcopy(studies["demo"])).methods["scalebio"]
    rows = variations(study)
    found = {}
    for row in rows:
        found.setdefault((row["experiment"], row["varied"]), []).append((row["value"], row["centre"]))
    alphas = [("1", False), ("3", False), ("10", True), ("30", False), ("100", False)]
    layers = [("1", False), ("2", True), ("4", False)]
    rates = [("0.02", False), ("0.08", True), ("0.32", False)]
    assert found == {
        ("denoising", "alpha"): alphas,
        ("denoising", "weight_learning_rate"): rates,
        ("denoising", "learning_rate"): [("0.0003", False), ("0.001", True), ("0.003", False)],
        ("denoising", "model lisa.layers"): layers,
        ("instruction", "alpha"): alphas,
        ("instruction", "weight_learning_rate"): rates,
        ("instruction", "model lisa.layers"): layers,
    }
    made = {(row["varied"], row["value"]): row["run"] for row in rows if row["experiment"] == "denoising"}
    assert made["alpha", "30"] == {"experiment": "denoising", "method": "alpha_30"}
    assert made["model lisa.layers", "4"] == {"experiment": "denoising_lisa_4", "method": "scalebio"}
    runs = sum(len(one.methods) * len(one.seeds) for one in (study.experiments[name] for name in study.run))
    assert runs == 60, "the overlay's opening says how many runs it is"


def test_a_study_with_one_method_of_a_kind_varies_nothing(studies):
    assert variations(load_study(copy.deepcopy(studies["demo"]))) == []


def test_only_a_single_difference_counts():
    centre = ScaleBiO(kind="scalebio", steps=9, learning_rate=1e-3)
    assert single_difference(centre, centre.model_copy(update={"alpha": 3.0})) == "alpha"
    assert single_difference(centre, centre) is None
    assert single_difference(centre, centre.model_copy(update={"alpha": 3.0, "steps": 8})) is None
    assert (
        single_difference(centre, centre.model_copy(update={"differences": {"dropout": True}})) == "differences.dropout"
    )


def test_another_model_is_no_setting(studies):
    study = copy.deepcopy(studies["demo"])
    hub = {"revision": "unverified"}
    rest = {key: value for key, value in study["models"]["tiny"].items() if key not in ("scratch", "warm_up")}
    for name in ("a", "b"):
        study["models"][name] = rest | {"hub": hub | {"id": f"owner/{name}"}}
        study["experiments"][name] = study["experiments"]["denoising"] | {"model": name, "evaluate": []}
    study["run"] = ["a", "b"]
    assert variations(load_study(study)) == []
