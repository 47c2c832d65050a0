"""The list of claims: its faults are named, what ships points at what exists, and a study that was run ends with its claims."""

import re

import pandas as pd
import pytest
import yaml
from good_study import merged

from scalebio.claims import NOT_REPRODUCED, UNDECIDED, judging, listing, measures, page
from scalebio.errors import UserError
from scalebio.study import load_study

CLAIMS = "workflow/claims.yaml"
BAND = {"band": {"below": 1, "words": "low"}}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"statment": "x"}, r"c\.statment: Extra inputs"),
        ({"tests": []}, "c: .*give either `tests` or `untested`"),
        ({"id": "d d"}, r"d d\.id: "),
        (
            {"band": {"above": 1, "below": 2, "words": "w"}},
            r"c\.tests\.0\.gain\.band: .*give exactly one of above, below",
        ),
        ({"kind": "gian"}, r"c\.tests\.0: .*'gian'"),
        ({"experiments": ["x"]}, r"c\.tests\.0\.gain\.experiments\.0: "),
        ({"scale": "paper"}, r"c\.tests\.0\.gain: .*needs the model of s/x in `hub`"),
    ],
)
def test_faults_of_the_list_are_named_by_claim_and_key(change, fault, tmp_path):
    test = {"kind": "gain", "scale": "small", "experiments": ["s/x"], "needs": "n"} | BAND
    test |= {key: change[key] for key in ("band", "kind", "experiments", "scale") if key in change}
    claim = {"id": "c", "statement": "s", "where": "w", "known": "k", "tests": [test]}
    claim |= {key: value for key, value in change.items() if key not in test}
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump([claim]))
    with pytest.raises(UserError, match=fault):
        listing.load(path)
    path.write_text(yaml.safe_dump([claim | {"id": "c", "tests": None, "untested": "u"}] * 2))
    with pytest.raises(UserError):
        listing.load(path)


def test_an_id_given_twice_is_refused(tmp_path):
    claim = {"id": "c", "statement": "s", "where": "w", "known": "k", "untested": "a proof"}
    (tmp_path / "claims.yaml").write_text(yaml.safe_dump([claim, claim]))
    with pytest.raises(UserError, match="the id c is given twice"):
        listing.load(tmp_path / "claims.yaml")


# --- the shipped list ---------------------------------------------------------------------------------------------


def study_with(root, *names):
    return load_study(merged(*(root / "config" / name for name in names)))


@pytest.fixture(scope="module")
def studies(root):
    overlay = "overlays/claims.yaml"
    return {
        "demo": study_with(root, "demo.yaml", overlay),
        "baselines": study_with(root, "demo.yaml", "overlays/baselines.yaml", overlay),
        **{name: study_with(root, f"{name}.yaml") for name in ("smollm2", "gpt2", "paper_v1", "paper_acl")},
    }


def test_every_test_of_the_shipped_claims_points_at_an_experiment_with_its_method(root, studies):
    tests = [(claim.id, test) for claim in listing.load(root / CLAIMS) for test in claim.tests]
    assert {type(test) for _, test in tests} == set(measures.KINDS)
    for claim, test in tests:
        for study, name in (place.split("/") for place in test.experiments):
            experiments = studies[study].experiments
            if test.scale == "paper":
                assert test.hub[f"{study}/{name}"] == studies[study].models[experiments[name].model].hub.id
            assert name in studies[study].run and test.method in experiments[name].methods, (claim, study, name)
            other = getattr(test, "other", None) or getattr(test, "own", None) or name
            # Said in `needs` where the study has it not.
            assert other in studies[study].run or other in test.needs, (claim, other)
            if test.scale == "small" and other in experiments and other != name:
                assert set(experiments[name].seeds) == set(experiments[other].seeds)


def test_bands_of_published_gains_are_half_of_them(root):
    gains = [
        (float(found[1]), test.band.above)
        for claim in listing.load(root / CLAIMS)
        for test in claim.tests
        if test.paper and (found := re.search(r"\(\+([\d.]+)\)", test.paper))
    ]
    assert len(gains) == 5 and all(limit == pytest.approx(gain / 2) for gain, limit in gains)


def test_the_overlay_compares_like_with_like(studies):
    for study in (studies["demo"], studies["baselines"]):
        models, experiments = study.models, study.experiments
        for one, other in (("tiny", "tiny_all"), ("wide_lisa", "wide_all")):
            same = models[one].model_copy(update={"lisa": None})
            assert models[one].lisa and same == models[other]
        for name in ("instruction_all", "instruction_larger", "instruction_taken", "memory_lisa", "memory_all"):
            for key in ("sources", "reference", "leakage", "seeds"):
                if not (name.startswith("memory") and key == "seeds"):
                    assert getattr(experiments[name], key) == getattr(experiments["instruction"], key)


# --- the entry points, on a study that was run --------------------------------------------------------------------


@pytest.mark.slow
def test_a_finished_study_ends_with_its_claims(finished):
    frame = pd.read_csv(finished.path / "results/small/claims.csv")
    assert list(frame.columns) == page.COLUMNS
    assert frame["verdict"].str.startswith("not run: needs ").all()
    assert set(frame["claim"]) == {claim.id for claim in listing.load(finished.path / CLAIMS)}
    assert "Claims of the paper" in (finished.path / "results/small/claims.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_tables_of_a_real_study_are_read(finished):
    folder = finished.path / "results/small/tables"
    tables = {name: str(folder / f"{name}.csv") for name in measures.COLUMNS if (folder / f"{name}.csv").exists()}
    facts = {"model": "tiny", "methods": ["uniform", "scalebio"], "rivals": [], "weights_from": None}
    study = measures.Study("small", {"sums": facts}, tables)
    common = {"scale": "small", "experiments": ["small/sums"], "needs": "n"}
    kinds = [{"kind": "share", "sources": "spoiled"}, {"kind": "gain"}, {"kind": "benchmark", "benchmark": "gsm8k"}]
    tests = [common | test | BAND for test in [*kinds, {"kind": "finished"}]]
    claim = {"id": "c", "statement": "s", "where": "w", "known": "k", "tests": tests}
    frame = judging.rows([listing.Claim.model_validate(claim)], study)
    assert frame["our_value"].notna().all()
    assert frame["verdict"].tolist()[:2] == [UNDECIDED] * 2 and "no interval" in frame["why"].iloc[0]
    assert frame["verdict"].tolist()[3] == NOT_REPRODUCED  # one seed is not fewer than one
