"""What a result says about where it comes from: enough to make it again, nothing about when and where it was made."""

import hashlib
import json

import pytest

from scalebio import provenance as module
from scalebio.provenance import provenance, sha256


@pytest.fixture
def as_entry_point(monkeypatch, root):
    """As if `draw_mixture.py` were running."""
    monkeypatch.setattr("sys.argv", [str(root / "scripts" / "draw_mixture.py"), "--settings", "{}"])


def test_sha256_is_that_of_the_content(tmp_path):
    content = bytes(range(256)) * 9000  # more than one block of the reader
    (tmp_path / "a").write_bytes(content)
    assert sha256(tmp_path / "a") == hashlib.sha256(content).hexdigest()
    (tmp_path / "empty").write_bytes(b"")
    assert sha256(tmp_path / "empty") == hashlib.sha256(b"").hexdigest()


def test_fields(as_entry_point, tmp_path, tiny, root):
    (tmp_path / "weights.json").write_text("{}")
    facts = provenance({"rows": 3, "größe": 1}, {"weights": tmp_path / "weights.json"}, tiny[1], device="cpu")
    assert facts["settings"] == {"rows": 3, "größe": 1}
    assert facts["inputs"] == {
        "weights": {"path": str(tmp_path / "weights.json"), "sha256": hashlib.sha256(b"{}").hexdigest()}
    }
    assert {"draw_mixture.py", "scalebio/mixture.py", "scalebio/chat.py"} <= facts["code"].keys()
    assert facts["code"]["scalebio/mixture.py"] == sha256(root / "scripts/scalebio/mixture.py")
    assert facts["lock_sha256"] == sha256(root / "envs/lock.txt")
    assert set(facts["libraries"]) == set(module.LIBRARIES) and all(facts["libraries"].values())
    assert facts["chat_template_sha256"] == hashlib.sha256(tiny[1].chat_template.encode()).hexdigest()
    assert facts["device"] == "cpu"
    json.dumps(facts, allow_nan=False)


def test_without_a_tokenizer_there_is_no_template(as_entry_point):
    assert "chat_template_sha256" not in provenance({}, {})


def test_the_same_job_gives_the_same_provenance(as_entry_point):
    assert provenance({"a": 1, "b": 2}, {}) == provenance({"a": 1, "b": 2}, {})


def test_the_hash_of_settings_sees_values_and_not_their_order(as_entry_point):
    first = provenance({"a": 1, "b": [1, 2]}, {})["settings_sha256"]
    assert provenance({"b": [1, 2], "a": 1}, {})["settings_sha256"] == first
    assert provenance({"a": 1, "b": [2, 1]}, {})["settings_sha256"] != first
