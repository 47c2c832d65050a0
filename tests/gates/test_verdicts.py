"""The gate of templates: every stage's hashes against those of the run's own model; the table of all gates; and clearing one."""

import json
import subprocess
import sys

import pandas as pd
import pytest

from scalebio.errors import UserError
from scalebio.gates import FAILED, NOT_APPLICABLE, PASSED, identity, verdict
from scalebio.provenance import tokenizer_sha256
from scalebio.tables import gates, inputs, summary

SAME = {"chat_template_sha256": "t" * 64, "tokenizer_sha256": "k" * 64}


def stages(**changes):
    found = {stage: dict(SAME) for stage in ("base", "weights", "mixture", "model", "metrics", "mtbench answers")}
    for stage, change in changes.items():
        found[stage.replace("_", " ")] |= change
    return found


def test_all_alike_passes_and_stages_without_a_tokenizer_are_left_out():
    runs = {"uniform/seed0": stages() | {"weights": {}}, "scalebio/seed0": stages()}
    made = identity.check("e", runs)
    assert made["verdict"] == PASSED and made["threshold"] == {"hashes_compared": 22}
    assert identity.check("e", {"uniform/seed0": {"weights": {}, "model": {}}})["verdict"] == NOT_APPLICABLE


def test_the_stage_that_reads_in_another_way_is_named():
    other = {"chat_template_sha256": "x" * 64}
    made = identity.check("e", {"a/seed0": stages(), "a/seed1": stages(mtbench_answers=other)})
    assert made["verdict"] == FAILED
    assert made["findings"] == [
        {"run": "a/seed1", "kind": "chat template", "model": "t" * 64, "apart": {"mtbench answers": "x" * 64}}
    ]
    assert made["what"] == "not that of the model: a/seed1: chat template of mtbench answers"


def test_the_hash_of_a_tokenizer_sees_what_makes_its_ids_and_nothing_else(tiny, tmp_path):
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    tiny[1].save_pretrained(tmp_path)
    known = tokenizer_sha256(tiny[1])
    read = [kind.from_pretrained(tmp_path) for kind in (AutoTokenizer, PreTrainedTokenizerFast)]
    read[0](["one", "one two"], padding=True, truncation=True, max_length=2)
    assert [tokenizer_sha256(tokenizer) for tokenizer in read] == [known, known]
    content = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    content["model"]["merges"].pop()
    changed = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(content)))
    assert tokenizer_sha256(changed) != known


@pytest.fixture
def files(tmp_path):
    """A passed and a failed verdict."""
    made = {
        "good": verdict("leakage", "e", [], {"words": 8}, "nothing"),
        "bad": verdict("leakage", "f", [{}], {}, "two | three"),
    }
    for name, found in made.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(found), encoding="utf-8")
    return tmp_path


def test_the_table_has_a_line_a_verdict(files):
    paths = [str(files / name) for name in ("good.json", "bad.json")]
    frame = inputs.build("gates", {"verdicts": paths, "fatal": ["leakage"]})
    assert frame.columns.tolist() == gates.COLUMNS
    assert frame.values.tolist() == [
        ["leakage", "e", PASSED, "yes", 0, "nothing"],
        ["leakage", "f", FAILED, "yes", 1, "two | three"],
    ]
    assert gates.table(paths, [])["fatal"].tolist() == ["no", "no"]
    assert r"| `leakage` | `f` | **failed** | yes | 1 | `two \| three` |" in summary.gates(frame).markdown()
    (files / "bad.json").write_text("{}")
    with pytest.raises(UserError, match=r"bad\.json: no key gate, experiment"):
        gates.table(paths, [])


def test_a_failed_verdict_is_not_cleared(root, files):
    def clear(name):
        command = [sys.executable, root / "scripts/clear_gate.py", "--gate", "leakage", "--output", files / "mark"]
        return subprocess.run([*command, "--verdict", files / name], capture_output=True, text=True)

    failed = clear("bad.json")
    assert failed.returncode == 2 and "the gate `leakage` failed and is fatal: two | three" in failed.stderr
    assert not (files / "mark").exists()
    assert clear("good.json").returncode == 0 and (files / "mark").exists()


def control(kind, sources, weights):
    from scalebio.gates import controls

    rows = [
        {"experiment": "e", "method": "scalebio", "seed": seed, "source": source, "weight": weight}
        for seed, shares in enumerate(weights)
        for source, weight in zip("abcd", shares, strict=True)
    ]
    return controls.check(
        "e", kind, sources, pd.DataFrame(rows, columns=["experiment", "method", "seed", "source", "weight"]), 0.1
    )


def test_controls_come_out_as_known_or_say_by_how_much_they_do_not():
    # On average over seeds: single ones wander.
    assert control("duplicate", ["a", "b"], [[0.7, 0.2, 0.1, 0], [0.3, 0.6, 0, 0.1]])["verdict"] == PASSED
    failed = control("duplicate", ["a", "b"], [[0.7, 0.2, 0.1, 0], [0.7, 0.1, 0.1, 0.1]])
    assert [(f["source"], f["known"]) for f in failed["findings"]] == [
        ("a", pytest.approx(0.425)),
        ("b", pytest.approx(0.425)),
    ]
    assert control("permuted", list("abcd"), [[0.4, 0.2, 0.2, 0.2], [0.1, 0.3, 0.3, 0.3]])["verdict"] == PASSED
    assert control("permuted", list("abcd"), [[0.4, 0.2, 0.2, 0.2]] * 2)["verdict"] == FAILED
    assert control("leak", ["a"], [[0.7, 0.1, 0.1, 0.1], [0.4, 0.3, 0.2, 0.1]])["verdict"] == PASSED
    lost = control("leak", ["a"], [[0.7, 0.1, 0.1, 0.1], [0.3, 0.4, 0.2, 0.1]])
    assert lost["findings"] == [{"method": "scalebio", "kind": "leak", "source": "a", "lost_with_seeds": [1]}]
    # Weights that never moved are no win.
    assert control("leak", ["a"], [[0.25] * 4])["findings"][0]["lost_with_seeds"] == [0]
    assert control("leak", ["a"], [])["verdict"] == NOT_APPLICABLE
