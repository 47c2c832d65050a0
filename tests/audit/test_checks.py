"""What an audit finds in a study: each kind of finding where it should be, and none in a study that has nothing of it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from studies import planned, study

from scalebio.audit import auditing, checks, findings, judging, memory, sources, work
from scalebio.audit.estimates import Estimator, Machine
from scalebio.audit.findings import FAILS, NOTES, WARNS
from scalebio.audit.memory import FITS, TIGHT, TOO_LARGE, UNKNOWN

NOWHERE = Path("results/nowhere")
EVERYTHING_HERE = Machine(token=True, judge_key=True)


def found(*generators) -> list[tuple[str, str]]:
    """(how grave, where) of each finding."""
    return [(finding.gravity, finding.key) for generator in generators for finding in generator]


def source_findings(one, machine=EVERYTHING_HERE, results=NOWHERE):
    """All that sources.py finds in a study."""
    known = sources.supplies(one, results)
    everything = set(sources.hubs(one))
    return found(
        sources.access(one, everything, machine.token),
        sources.licences(one),
        sources.leakage(one, results),
        sources.too_small(one, known),
    )


def test_a_sound_study_has_no_findings():
    assert source_findings(study()) == []


def test_gated_repositories_fail_without_a_token_and_only_what_is_still_to_be_fetched():
    def gate(mapping):
        mapping["sources"]["one"]["hub"]["gated"] = True
        mapping["models"]["eight"]["hub"]["gated"] = True

    assert source_findings(study(gate), Machine(token=False)) == [(FAILS, "sources.one"), (FAILS, "models.eight")]
    assert source_findings(study(gate), Machine(token=True)) == []
    assert found(sources.access(study(gate), {"sources.two"}, token=False)) == []


def test_a_commit_that_is_not_pinned_is_a_warning():
    one = study(lambda mapping: mapping["sources"]["two"]["hub"].update(revision="unverified"))
    assert source_findings(one) == [(WARNS, "sources.two.hub.revision")]
    assert sources.revision(one.sources["two"].hub) == "unverified"
    assert sources.revision(one.sources["one"].hub) == "pinned"
    assert sources.revision(None) == "no commit"


@pytest.mark.parametrize(
    "licence, use, gravity",
    [
        ("CC-BY-NC-4.0", "research", None),
        ("CC-BY-NC-4.0", "commercial", FAILS),
        ("CC-BY-ND-4.0", "commercial", FAILS),
        ("CC-BY-ND-4.0", "research", WARNS),
        ("not stated", "research", WARNS),
        ("not stated (upstream a/b CC-BY-NC-4.0)", "commercial", FAILS),
        ("ODC-BY", "commercial", None),
    ],
)
def test_licences_are_held_against_the_use(licence, use, gravity):
    def change(mapping):
        mapping["sources"]["one"]["licence"] = licence
        mapping["use"] = use

    assert source_findings(study(change)) == ([(gravity, "sources.one.licence")] if gravity else [])


@pytest.mark.parametrize("leakage, gravity", [("refuse", FAILS), ("drop", WARNS), ("allow", NOTES)])
def test_reference_rows_from_where_training_rows_come_from(leakage, gravity):
    def change(mapping):
        mapping["sources"]["held_out"]["hub"] = mapping["sources"]["one"]["hub"]
        mapping["experiments"]["chat"]["leakage"] = leakage

    assert source_findings(study(change)) == [(gravity, "experiments.chat.leakage")]


def test_disjoint_parts_of_one_data_set_do_not_leak():
    def change(mapping):
        mapping["sources"]["held_out"] |= {"hub": mapping["sources"]["one"]["hub"], "part": {"index": 1, "of": 2}}
        mapping["sources"]["one"]["part"] = {"index": 0, "of": 2}

    assert source_findings(study(change)) == []


def test_a_verdict_that_lies_there_is_told_and_fails_if_its_gate_is_fatal(tmp_path):
    verdict = tmp_path / "gates" / "leakage" / "chat.json"
    verdict.parent.mkdir(parents=True)
    verdict.write_text(
        json.dumps({"verdict": "failed", "what": "3 questions stand in training rows"}), encoding="utf-8"
    )
    assert source_findings(study(), results=tmp_path) == [(WARNS, verdict.as_posix())]
    fatal = study(lambda mapping: mapping.update(gates={"leakage": "fatal"}))
    assert source_findings(fatal, results=tmp_path) == [(FAILS, verdict.as_posix())]


def test_sources_too_small_for_what_is_sure_to_be_asked():
    def supply(rows, repeat, **experiment):
        def change(mapping):
            mapping["sources"]["one"] |= {"rows": rows, "max_repeat": repeat}
            mapping["experiments"]["chat"] |= experiment

        return source_findings(study(change))

    # 1,000 rows in two equal shares.
    assert supply(499, 1) == [(FAILS, "sources.one.max_repeat")]
    assert supply(499, 1, over_supply="cap") == [(WARNS, "sources.one.max_repeat")]
    assert supply(250, 2) == [(NOTES, "sources.one.max_repeat")]
    assert supply(500, 2) == []

    def by_hand(mapping):
        mapping["methods"]["hand"] = {"kind": "given", "weights": {"one": 0.9, "two": 0.1}}
        mapping["experiments"]["chat"]["methods"].append("hand")
        mapping["sources"]["one"] |= {"rows": 500, "max_repeat": 1}

    assert source_findings(study(by_hand)) == [(FAILS, "sources.one.max_repeat")]
    few = [(FAILS, "sources.one"), (WARNS, "sources.one")]
    assert supply(3, None) == few, "fewer rows than one step takes, and each drawn 167 times"


def test_mixtures_that_repeat_all_rows_more_than_four_times():
    def drawn(rows, **experiment):
        def change(mapping):
            mapping["finetuning"]["rows"] = rows
            mapping["experiments"]["chat"] |= experiment

        return source_findings(study(change))

    assert drawn(8000) == [] and drawn(8001, mixture_rows=8000) == []
    assert drawn(8001) == [(WARNS, "finetuning.rows")]
    assert drawn(8000, mixture_rows=9000) == [(WARNS, "experiments.chat.mixture_rows")]


def test_a_source_that_an_equal_share_repeats_more_than_four_times():
    def with_rows(rows, **settings):
        return source_findings(study(lambda mapping: mapping["sources"]["two"].update(rows=rows, **settings)))

    assert with_rows(125) == [] and with_rows(124) == [(WARNS, "sources.two")]
    assert (WARNS, "sources.two") not in with_rows(124, max_repeat=2), "told as too small"


def test_large_files_are_left_to_the_jobs(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "READ", 3)
    (tmp_path / "one.jsonl").write_text("no JSON")
    one = study(lambda mapping: mapping["sources"].update(one={"file": str(tmp_path / "one.jsonl"), "licence": "CC0"}))
    assert sources.supplies(one, NOWHERE)["one"] == sources.Supply(None, "known when it is read")


def test_reference_sources_too_small_for_their_rows():
    one = study(lambda mapping: mapping["sources"]["held_out"].update(rows=300))
    assert source_findings(one) == [(FAILS, "references.wanted")]


def test_the_largest_share_that_a_source_can_give(tmp_path):
    one = study(lambda mapping: mapping["sources"]["one"].update(rows=300, max_repeat=2))
    share = sources.shares(one, sources.supplies(one, NOWHERE))[0]
    assert (share.source, share.once, share.most) == ("one", 0.3, 0.6)
    manifest = tmp_path / "sources" / "one.json"
    manifest.parent.mkdir()
    manifest.write_text('{"rows": 200}', encoding="utf-8")
    assert sources.shares(one, sources.supplies(one, tmp_path))[0].once == 0.2, "what was counted goes first"
    unknown = study(lambda mapping: mapping["sources"]["one"].pop("rows"))
    assert sources.shares(unknown, sources.supplies(unknown, NOWHERE))[0].once is None


# --- memory --------------------------------------------------------------------------------------------------------------


def estimate(one, rule="learn_weights", **more):
    """The estimate of one job of a study."""
    job = planned(rule, **({"gpus": 8} | more))
    return Estimator(one, [job], NOWHERE, Machine(), sources.supplies(one, NOWHERE)).one(job)


@pytest.mark.parametrize("share, verdict", [(0.5, FITS), (0.95, TIGHT), (1.05, TOO_LARGE)])
def test_the_verdict_follows_from_the_peak_and_the_card(share, verdict):
    total = estimate(study()).fit.peak.total

    def card(mapping):
        hardware = mapping["models"]["eight"]["hardware"]
        del hardware["card"]
        hardware["gpu_memory_gb"] = total / share / 1e9

    seen = estimate(study(card))
    assert seen.fit.verdict == verdict
    told = list(checks.fitting([seen]))
    assert [finding.gravity for finding in told] == {FITS: [], TIGHT: [WARNS], TOO_LARGE: [FAILS]}[verdict]
    for finding in told:
        assert finding.key == "models.eight.hardware" and "`offload: true`" in finding.do


def test_without_a_card_it_is_not_known_whether_a_job_fits():
    seen = estimate(study(lambda mapping: mapping["models"]["eight"]["hardware"].pop("card")))
    assert seen.fit.verdict == UNKNOWN and seen.fit.peak.total > 0
    assert "hardware.card" in seen.fit.change and seen.time.seconds is None


def test_answering_needs_one_gpu_for_all_of_the_model():
    seen = estimate(study(), "evaluate", gpus=1)
    assert seen.fit.peak.parameters == 4 * 8_030_261_248 and seen.fit.verdict == FITS

    def smaller(mapping):
        mapping["models"]["eight"]["hardware"]["card"] = "A10"

    assert estimate(study(smaller), "evaluate", gpus=1).fit.verdict == TOO_LARGE


def test_main_memory_holds_the_model_while_it_is_read_and_saved():
    def tuned(gigabytes):
        return found(checks.main_memory([estimate(study(), "finetune", memory_mb=gigabytes * 1000)]))

    # Twice 32 GB of parameters.
    assert tuned(60) == [(FAILS, "models.eight.hardware.memory_gb")]
    assert tuned(200) == []


def test_a_model_from_scratch_is_held_against_main_memory():
    scratch = {"hidden_size": 32, "intermediate_size": 64, "layers": 2, "heads": 2, "vocabulary": 320}
    model = {"scratch": scratch, "max_length": 96, "warm_up": {"steps": 1, "batch": 1, "learning_rate": 1e-3}}
    seen = estimate(study(lambda mapping: mapping["models"].update(eight=model)), gpus=0)
    assert seen.fit.verdict == FITS and seen.fit.limited_by == "2 GB of main memory"
    tight = study(lambda mapping: mapping["models"].update(eight=model | {"hardware": {"memory_gb": 0.1}}))
    assert estimate(tight, gpus=0).fit.verdict == TOO_LARGE


def test_what_learns_nothing_holds_no_model():
    wildcards = {"experiment": "chat", "model": "eight", "method": "uniform", "seed": "0"}
    seen = estimate(study(), wildcards=wildcards, gpus=0)
    assert seen.fit is None and seen.hours == 0


# --- time, judge, templates, exit code -----------------------------------------------------------------------------------


def test_jobs_longer_than_their_time_are_warned_of():
    seen = estimate(study())
    assert seen.time.seconds and found(checks.time_limits([seen])) == []
    short = replace(seen, job=planned("learn_weights", gpus=8, minutes=seen.time.seconds / 120))
    assert found(checks.time_limits([short])) == [(WARNS, "models.eight.hardware.hours")]


def judged(judge, machine=EVERYTHING_HERE):
    def change(mapping):
        hub = {"id": "a/b", "revision": "0" * 40}
        mapping["evaluations"] = {"mtbench": {"data": [{"hub": hub}], "judge": judge, "max_new_tokens": 100}}
        mapping["experiments"]["chat"]["evaluate"] = ["mtbench"]

    one = study(change)
    asked = judging.judging(one, ["chat"])
    return asked[0], found(checks.judge(one, asked, machine))


def test_judging_is_priced_as_the_study_states():
    hosted = {"kind": "openai", "model": "m", "base_url": "https://example.org/v1", "repeats": 3}
    one, told = judged(hosted | {"price": {"input": 30, "output": 60}})
    # Two models, 80 questions, two turns, three repeats; 1,000 tokens in and 187.5 out each.
    assert one.calls == 960 and one.dollars == pytest.approx(960 * (1000 * 30 + 187.5 * 60) / 1e6) and told == []
    one, told = judged(hosted)
    assert one.dollars is None and told == [(WARNS, "evaluations.mtbench.judge.price")]
    limit = hosted | {"price": {"input": 30, "output": 60}, "cost_limit": 1}
    assert judged(limit)[1] == [(FAILS, "evaluations.mtbench.judge.cost_limit")]
    assert judged(hosted | {"price": {"input": 0, "output": 0}}, Machine())[1] == [
        (FAILS, "evaluations.mtbench.judge.base_url")
    ]
    local = hosted | {"base_url": "http://localhost:8000/v1", "price": {"input": 0, "output": 0}}
    assert judged(local, Machine())[1] == []
    assert judged({"kind": "offline_reference"})[0].dollars == 0


@pytest.mark.parametrize(
    "ours, theirs, gravity", [("a.jinja", "a.jinja", NOTES), ("a.jinja", "b.jinja", WARNS), (None, None, WARNS)]
)
def test_weights_used_under_another_template(tmp_path, monkeypatch, ours, theirs, gravity):
    monkeypatch.chdir(tmp_path)
    for name in ("a.jinja", "b.jinja"):
        (tmp_path / name).write_text("{{ messages }}", encoding="utf-8")

    def change(mapping):
        mapping["models"]["other"] = {"hub": {"id": "a/b", "revision": "0" * 40}, "max_length": 512}
        for name, template in (("eight", theirs), ("other", ours)):
            if template:
                mapping["models"][name]["chat_template"] = template
        mapping["experiments"]["larger"] = mapping["experiments"]["chat"] | {"model": "other", "weights_from": "chat"}
        mapping["run"] = ["chat", "larger"]

    assert found(checks.templates(study(change), NOWHERE)) == [(gravity, "experiments.larger.weights_from")]


def test_the_exit_code_counts_what_would_fail_before_what_is_stale():
    warning, failing = (findings.Finding(gravity, "k", "key", "what") for gravity in (WARNS, FAILS))
    assert findings.exit_code([], 0) == findings.exit_code([warning], 0) == 0
    assert findings.exit_code([failing], 3) == 1
    assert findings.exit_code([warning], 1) == 2
    assert findings.ordered([warning, failing, warning]) == [failing, warning]


def test_a_whole_audit_names_what_each_job_takes():
    jobs = [
        planned("fetch_model", wildcards={"model": "eight"}),
        planned("learn_weights", gpus=8),
        planned("finetune", gpus=8),
    ]
    mapping = study().model_dump(mode="json", exclude_none=True)
    made = auditing.make(jobs, mapping, EVERYTHING_HERE)
    fetch, learn, tune = made["jobs"]
    assert made["exit_code"] == 0 and made["verdict"] == "clean"
    assert {"peak_memory_gb", "gpu_hours", "disk_gb", "revision"} <= learn.keys()
    assert fetch["revision"] == "pinned" and fetch["disk_gb"] == pytest.approx(32.1, abs=0.1)
    assert fetch["download_gb"] == pytest.approx([16.06, 32.12], abs=0.01)
    assert learn["gpu_hours"] == pytest.approx(8 * learn["hours"], rel=1e-4) and learn["time_source"].startswith(
        "stated"
    )
    assert tune["disk_gb"] == fetch["disk_gb"] and tune["checkpoint_gb"] < learn["checkpoint_gb"]
    assert made["totals"]["gpu_hours"] == pytest.approx(learn["gpu_hours"] + tune["gpu_hours"], abs=1e-4)
    assert memory.FITS == learn["verdict"]


def test_work_is_counted_from_settings():
    one = study()
    experiment = one.experiments["chat"]
    rows = {"one": 1000, "two": 1000}

    def learning(**method):
        def change(mapping):
            mapping["methods"]["scalebio"] = method

        return work.learning(study(change), experiment, study(change).methods["scalebio"], rows)

    # u and w see 8 training rows a step, w also 8 validation rows, each of 512 tokens.
    assert work.learning(one, experiment, one.methods["scalebio"], rows).trained == 10 * (8 + 8 + 8) * 512
    double = {"steps": 10, "learning_rate": 1e-3, "per_source": 4, "validation_batch": 8, "check_steps": 0}
    assert learning(kind="scalebio", double_sampling=True, **double).trained == 10 * (8 + 8 + 8 + 8) * 512
    doremi = learning(kind="doremi", steps=5, learning_rate=1e-3, per_source=3)
    assert (doremi.trained, doremi.forward, doremi.models) == (2 * 5 * 6 * 512, 2 * 5 * 6 * 512, 2)
    less = learning(kind="less", share=0.1, epochs=2, batch=10, learning_rate=1e-3)
    assert less.trained == (2 * 200 + 2 * (2000 + 200)) * 512
    unknown = {"one": None, "two": 1000}
    kind = study(lambda mapping: mapping["methods"].update(less={"kind": "less", "batch": 1, "learning_rate": 1e-3}))
    assert work.learning(kind, experiment, kind.methods["less"], unknown).unknown
    assert work.finetuning(one, experiment).trained == 1000 * 512
    assert work.learning(one, experiment, one.methods["uniform"], rows).models == 0
