"""Study files: valid ones load; everything wrong with a bad one is listed at once, with path and suggestion."""

import re
import subprocess
import sys

import pytest
import yaml
from good_study import GOOD, changed, faults

from scalebio.config import Study
from scalebio.config_methods import Method
from scalebio.errors import UserError
from scalebio.study import check_files, duplicate_keys, load_study, members
from scalebio.study_checks import RESULT_FOLDERS

KINDS = ", ".join(kind.model_fields["kind"].annotation.__args__[0] for kind in members(Method))


def test_a_good_study_loads():
    study = load_study(yaml.safe_load(GOOD))
    assert isinstance(study, Study) and study.methods["scalebio"].learning_rate == 1e-3


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        ("sources.clean.rowz", 3, "sources.clean.rowz: unknown key; did you mean `rows`?"),
        ("modles", {}, "modles: unknown key; did you mean `models`?"),
        ("methods.scalebio.alfa", 3, "methods.scalebio.alfa: unknown key; did you mean `alpha`?"),
        ("sources.clean.generator.task", 3, "sources.clean.generator.task: unknown key; did you mean `tasks`?"),
        (
            "models.tiny.warm_up.batch",
            "many",
            "models.tiny.warm_up.batch: expected a whole number (examples per step); found 'many'",
        ),
        ("finetuning.batch", 0, "finetuning.batch: expected greater than 0 (examples per optimiser step); found 0"),
        ("references.goal.test_rows", None, "references.goal.test_rows: missing; expected: how many test rows"),
        (
            "sources.clean",
            3,
            "sources.clean: expected a mapping with keys such as `file`, `hub`, `generator`, `local`; found 3",
        ),
        ("study", "my study", "study: expected a name of letters, digits, `_` and `-`; found 'my study'"),
        (
            "methods.scalebio.kind",
            "scalbio",
            f"methods.scalebio.kind: expected one of {KINDS}; found 'scalbio'; did you mean `scalebio`?",
        ),
        ("methods.uniform", {}, f"methods.uniform.kind: missing; expected one of {KINDS}"),
        (
            "experiments.first.leakage",
            "dropp",
            "experiments.first.leakage: expected 'refuse', 'drop' or 'allow'; found 'dropp'; did you mean `drop`?",
        ),
        (
            "finetuning.train",
            "lora",
            "finetuning.train: `lora` needs the section models.tiny.lora, which experiments.first does not find; add it, or "
            "take `full`, or leave `train` out to train what the model says",
        ),
        (
            "finetuning.train",
            "all",
            "finetuning.train: expected 'lisa', 'full' or 'lora'; found 'all'; did you mean `full`?",
        ),
        ("models.tiny.scratch.heads", 5, "models.tiny.scratch: hidden_size 64 is not a multiple of heads 5"),
        (
            "sources.clean.file",
            "x.json",
            "sources.clean: give exactly one of file, hub, generator; found file and generator",
        ),
        ("run", ["frist"], "run: there is no `frist` under `experiments`; did you mean `first`?"),
        ("run", ["first", "first"], "run: `first` is listed 2 times"),
        (
            "experiments.first.sources",
            ["clean", "nosy"],
            "experiments.first.sources: there is no `nosy` under `sources`; did you mean `noisy`?",
        ),
        (
            "experiments.first.sources",
            ["clean", "noisy", "clean"],
            "experiments.first.sources: `clean` is listed 2 times",
        ),
        ("experiments.first.seeds", [0, 0], "experiments.first.seeds: `0` is listed 2 times"),
        (
            "experiments.first.model",
            "huge",
            "experiments.first.model: there is no `huge` under `models`; known are `real`, `tiny`",
        ),
        (
            "experiments.first.reference",
            "goals",
            "experiments.first.reference: there is no `goals` under `references`; did you mean `goal`?",
        ),
        (
            "references.goal.test",
            {"hold": 1},
            "references.goal.test: there is no `hold` under `sources`; did you mean `held`?",
        ),
        (
            "references.goal.validation",
            {"clean": 1},
            "experiments.first.sources: `clean` is also in its reference `goal`; take other rows",
        ),
        (
            "evaluations",
            None,
            "experiments.first.evaluate: `accuracy` needs `evaluations.accuracy`, which is not there",
        ),
        (
            "references.goal.validation",
            {"remote": 1},
            "experiments.first.evaluate: `accuracy` needs test rows from a generator, which can check answers;"
            " reference `goal` has none",
        ),
        (
            "experiments.first.expected",
            {"clean": 0.5, "noisy": 0.2},
            "experiments.first.expected: expected shares that sum to 1; found a sum of 0.7",
        ),
        (
            "experiments.first.expected",
            {"claen": 1},
            "experiments.first.expected: `claen` is not one of the experiment's sources; did you mean `clean`?",
        ),
        (
            "finetuning",
            {"rows": 10, "batch": 16, "learning_rate": 0.001},
            "finetuning.rows: rows × epochs = 10, fewer than batch = 16, so not one step could be made; raise it or lower"
            " the batch",
        ),
        (
            "methods.scalebio",
            {"kind": "scalebio", "steps": 2, "learning_rate": 0.001, "prune_below": 0.5},
            "methods.scalebio.prune_below: 0.5 is not below 1/2, an even share of the 2 sources of experiments.first:"
            " all weights could become 0; lower it",
        ),
        (
            "evaluations.accuracy.max_new_tokens",
            4096,
            "evaluations.accuracy.max_new_tokens: 4096 leaves no room for a question in models.tiny.max_length = 64,"
            " where experiments.first asks them; lower the first or raise the second",
        ),
        (
            "sources.noisy.generator",
            {"kind": "cldr", "language": "tlh"},
            "sources.noisy.generator.language: expected 'de', 'en', 'es', 'fr', 'it', 'nl', 'pt' or 'ru'; found 'tlh';"
            " known are `de`, `en`, `es`, `fr`, `it`, `nl`, `pt`, `ru`",
        ),
        (
            "experiments.models",
            {"sources": ["clean", "noisy"], "reference": "goal", "model": "tiny", "methods": ["even"], "seeds": [0]},
            "experiments.models: `models` is a folder of the results in its own right; give the experiment another name",
        ),
        ("offline_data", "nowhere", "offline_data: there is no folder nowhere (looked in {here})"),
        (
            "sources.noisy",
            {"file": "nowhere.json"},
            "sources.noisy.file: there is no file nowhere.json (looked in {here})",
        ),
        (
            "models.tiny",
            {"path": "nowhere", "max_length": 64},
            "models.tiny.path: there is no folder nowhere (looked in {here})",
        ),
        (
            "sources.rest",
            {"hub": {"id": "owner/data", "revision": "unverified"}, "part": {"index": 1, "of": 3}},
            "sources.rest.part.of: 3, but sources.remote takes a part of the same rows with 2;"
            " the parts would overlap, so make them agree",
        ),
        (
            "models.tiny",
            {"path": ".", "max_length": 64, "chat_template": "no.jinja"},
            "models.tiny.chat_template: there is no file no.jinja (looked in {here})",
        ),
        (
            "experiments.first.mixture_rows",
            1,
            "experiments.first.mixture_rows: mixture_rows × finetuning.epochs = 1, fewer than finetuning.batch = 2, so not one"
            " step could be made; raise it or lower the batch",
        ),
    ],
)
def test_one_fault_gives_one_line(path, value, fault, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert fault.format(here=tmp_path) in faults(changed(path, value))


@pytest.mark.parametrize(
    "change, fault",
    [
        ({"weights_from": "second"}, "second.weights_from: an experiment cannot take its weights from itself;"),
        (
            {"weights_from": "frist"},
            "second.weights_from: there is no `frist` under `experiments`; did you mean `first`?",
        ),
        (
            {"sources": ["clean", "remote"]},
            "second.weights_from: weights belong to sources, and `noisy`, `remote` stand in only one of `second` and `first`",
        ),
        (
            {"methods": ["scalebio", "other"]},
            "second.methods: `other` is not among those of `first`, where its weights",
        ),
        ({"validation_bootstrap": True}, "second.validation_bootstrap: no weights are learned here; set it in `first`"),
        ({"seeds": [1, 2]}, "second.seeds: `2` is not among those of `first`, where its weights come from"),
    ],
)
def test_weights_are_taken_from_an_experiment_that_learns_them_on_the_same_sources(change, fault):
    study = changed("experiments.second", {"weights_from": "first"})
    first = {key: value for key, value in study["experiments"]["first"].items() if key != "expected"}
    study["experiments"]["second"] = first | {"model": "real", "weights_from": "first", "evaluate": []}
    study["methods"]["other"] = study["methods"]["scalebio"]
    load_study(study)
    study["experiments"]["second"] |= change
    found = faults(study)
    assert len(found) == 1 and found[0].startswith(f"experiments.{fault}"), found


def test_weights_are_not_taken_from_where_nothing_learns_them():
    study = changed("run", ["second"])
    first = study["experiments"]["first"]
    study["experiments"]["second"] = first | {"weights_from": "first"}
    assert faults(study) == [
        "experiments.second.weights_from: `first` is not in `run`, so nothing would learn its weights; add it there"
    ]
    study["run"] = ["first", "second", "third"]
    study["experiments"]["third"] = first | {"weights_from": "second"}
    assert faults(study) == [
        "experiments.third.weights_from: `second` learns no weights either, it takes those of `first`; name the one that "
        "learns"
    ]


@pytest.mark.parametrize(
    "change, fault",
    [
        ({"start_from": "frist"}, "start_from: there is no `frist` under `experiments`; did you mean `first`?"),
        ({"start_from": "second"}, "start_from: goes in a circle (second → second); one of them must start"),
        ({"start_from": "old.json"}, "start_from: there is no file old.json (looked in "),
        ({"seeds": [1, 2]}, "seeds: `2` is not among those of `first`, where it starts from"),
        ({"methods": ["scalebio", "again"]}, "methods: `again` is not among those of `first`, where it starts from"),
        (
            {"methods": ["doremi"]},
            "start_from: the method `doremi` (kind `doremi`) cannot start from weights learned before",
        ),
        (
            {"weights_from": "first", "methods": ["scalebio"]},
            "start_from: nothing is learned where weights are taken over",
        ),
        (
            {"control": {"kind": "leak", "sources": ["cleen"]}},
            "control.sources: `cleen` is not one of the experiment's sources",
        ),
        (
            {"control": {"kind": "leak", "sources": ["clean", "noisy"]}},
            "control: sources: `leak` is about exactly one source; found 2",
        ),
    ],
)
def test_learning_starts_from_weights_that_will_be_there_by_a_method_that_can(change, fault):
    study = changed("experiments.second", {})
    first = {key: value for key, value in study["experiments"]["first"].items() if key != "expected"}
    study["run"] = ["first", "second"]
    study["methods"] |= {"again": study["methods"]["scalebio"], "even": {"kind": "uniform"}}
    study["methods"]["doremi"] = {"kind": "doremi", "steps": 3, "learning_rate": 1e-3}
    study["experiments"]["first"]["methods"] = ["scalebio", "doremi"]
    study["experiments"]["second"] = first | {"methods": ["scalebio", "even"], "start_from": "first"}
    load_study(study)
    study["experiments"]["second"] |= change
    found = faults(study)
    assert len(found) == 1 and found[0].startswith(f"experiments.second.{fault}"), found


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("sources.clean.rows", "1,000", "expected a whole number (keep this many rows, {}); found '1,000'; write 1000"),
        ("sources.clean.rows", "1k", "expected a whole number (keep this many rows, {}); found '1k'"),
        ("finetuning.rows", 10.5, "expected a whole number (rows drawn by the weights); found 10.5"),
        (
            "finetuning.learning_rate",
            "fast",
            "expected a number (peak AdamW learning rate; cosine to zero); found 'fast'",
        ),
    ],
)
def test_what_is_no_number_is_told_in_one_sentence(path, value, says):
    says = says.format("drawn at random; needed by generators")
    assert faults(changed(path, value)) == [f"{path}: {says}"]


def test_all_faults_come_at_once_and_none_twice():
    study = changed("sources.clean.rowz", 3)
    study["run"] = ["frist"]
    study["finetuning"]["batch"] = "two"
    study["experiments"]["first"]["methods"] = ["unifrom"]
    found = faults(study)
    assert len(found) == 4 == len(set(found))


def test_an_oracle_needs_a_planted_truth():
    study = changed("methods.truth", {"kind": "oracle"})
    study["experiments"]["first"]["methods"].append("truth")
    load_study(study)
    del study["experiments"]["first"]["expected"]
    assert faults(study) == [
        "experiments.first.expected: missing, and the oracle `truth` takes its weights from there; give the planted shares"
        " of the sources, or take `truth` out of experiments.first.methods"
    ]


def test_given_shares_are_of_the_experiments_sources_and_sum_to_one():
    sources = changed("run", ["first"])["experiments"]["first"]["sources"]
    study = changed("methods.hand", {"kind": "given", "weights": {sources[0]: 0.75, sources[1]: 0.25}})
    study["experiments"]["first"]["methods"].append("hand")
    assert load_study(study).methods["hand"].weights == {sources[0]: 0.75, sources[1]: 0.25}
    study["methods"]["hand"]["weights"] = {sources[0]: 0.75, "nonesuch": 0.5}
    total, unknown = faults(study)
    assert total == "methods.hand.weights: expected shares that sum to 1; found a sum of 1.25"
    assert unknown.startswith("methods.hand.weights: `nonesuch` is not one of the sources of experiments.first")
    assert unknown.endswith("give shares of its sources, or take `hand` out of experiments.first.methods")


def test_offline_data_needs_a_stand_in_for_what_is_used_only(tmp_path):
    study = changed("offline_data", str(tmp_path))
    load_study(study)  # `remote` and `real` are not used by an experiment in `run`
    study["experiments"]["first"] |= {"sources": ["clean", "remote"], "model": "real", "expected": {"clean": 1}}
    found = faults(study)
    assert [line.split(":")[0] for line in found] == ["sources.remote.local", "models.real.package"]
    study["sources"]["remote"]["local"] = "rows.json"
    assert any(line.startswith("sources.remote.local: there is no file") for line in faults(study))


def test_settings_just_inside_their_limits_are_accepted():
    study = changed("finetuning", {"rows": 10, "epochs": 3, "batch": 30, "learning_rate": 1e-3})
    study["evaluations"]["accuracy"]["max_new_tokens"] = 63
    study["methods"]["scalebio"]["prune_below"] = 0.49
    load_study(study)


def test_every_folder_beside_the_experiments_is_reserved(root):
    rules = "".join(path.read_text(encoding="utf-8") for path in (root / "workflow").rglob("*.smk"))
    assert set(re.findall(r"\{RESULTS\}/(\w+)(?![\w.])", rules)) == set(RESULT_FOLDERS)


@pytest.mark.parametrize(
    "config", [None, [], "x", {}, {"run": 3, "sources": [1], "experiments": {"a": {"sources": {}}}}]
)
def test_nonsense_is_refused_without_a_crash(config):
    assert faults(config)


def test_keys_given_twice_are_found_with_their_lines(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(
        "study: a\nsources:\n  clean: {file: a.json}\n  noisy: {rows: 1, rows: 2}\n  clean: {file: b.json}\n"
    )
    assert yaml.safe_load(path.read_text())["sources"]["clean"] == {"file": "b.json"}
    assert duplicate_keys(path) == [
        "line 4: `sources.noisy.rows` is given twice (first in line 4); rename or remove one",
        "line 5: `sources.clean` is given twice (first in line 3); rename or remove one",
    ]
    with pytest.raises(UserError, match=r"study\.yaml, line 5: `sources\.clean` is given twice"):
        check_files([path])


def test_anchors_and_lists_are_no_duplicates(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text("base: &base {rows: 1}\nsources:\n  a: {<<: *base, file: x}\n  b: *base\nlist: [{a: 1}, {a: 2}]\n")
    assert duplicate_keys(path) == []
    check_files([path])


@pytest.mark.parametrize("seeds, such", [(3, "[0, 1, 2]"), (3.0, "[3.0]"), (0, "[0]"), ("3", "['3']")])
def test_seeds_are_a_list(seeds, such):
    said = faults(changed("experiments.first.seeds", seeds))
    assert any(f"experiments.first.seeds: expected a list, such as {such} (" in fault for fault in said)


def test_broken_yaml_and_missing_files_are_named(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text("study: a\nsources: {clean: [}\n")
    with pytest.raises(UserError, match=r"study\.yaml, line 2: not valid YAML"):
        check_files([path])
    with pytest.raises(UserError, match="cannot be read"):
        check_files([tmp_path / "nowhere.yaml"])
    path.write_text("")
    check_files([path])


def test_nothing_heavy_is_imported(root):
    program = (
        "import scalebio.study, sys; print([m for m in ('numpy', 'torch', 'pandas', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=root / "scripts", capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
