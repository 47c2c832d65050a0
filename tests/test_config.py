"""The models behind a study file, and config/README.md, which is written from them."""

import subprocess
import sys

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from scalebio import config, config_evaluations, config_methods, origins
from scalebio.config_evaluations import Evaluations
from scalebio.mtbench import endpoints


def models():
    return [
        value
        for module in (config, config_methods, config_evaluations, origins)
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, BaseModel) and value.__module__ == module.__name__
    ]


def reference(root, *arguments):
    command = [sys.executable, root / "scripts" / "config_reference.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_reference_is_in_step_with_the_models(root, tmp_path):
    done = reference(root, "--check")
    assert done.returncode == 0, done.stderr
    stale = tmp_path / "README.md"
    stale.write_text((root / "config" / "README.md").read_text() + "more\n")
    failed = reference(root, "--check", "--output", stale)
    assert failed.returncode == 2 and "run python scripts/config_reference.py" in failed.stderr
    assert reference(root, "--output", stale).returncode == 0
    assert stale.read_text() == (root / "config" / "README.md").read_text()


def test_every_key_is_described_in_the_reference(root):
    text = (root / "config" / "README.md").read_text()
    for model in models():
        for name, field in model.model_fields.items():
            assert field.description or name == "kind", f"{model.__name__}.{name} has no description"
            assert f"| `{name}` |" in text
            assert not field.description or field.description in text


@pytest.mark.parametrize("model", models(), ids=lambda model: model.__name__)
def test_every_model_refuses_unknown_keys(model):
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        model.model_validate({"no such key": 1})


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({}, "exactly one of file, hub, generator; found none"),
        ({"generator": {"kind": "cldr", "language": "de"}}, "a generator needs `rows`"),
        ({"file": "x", "part": {"index": 2, "of": 2}}, "index 2 is not below of = 2"),
        ({"file": "x", "local": "y"}, "`local` stands in for `hub`"),
        ({"file": "x", "corrupt": {"rate": 1.1}}, "less than or equal to 1"),
        ({"hub": {"id": "a/b", "revision": "main"}}, "pattern"),
    ],
)
def test_impossible_sources_are_refused(entry, message):
    with pytest.raises(ValidationError, match=message):
        config.Source.model_validate(entry)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"max_length": 8}, "exactly one of scratch, path, hub; found none"),
        (
            {"path": "x", "package": {"name": "p", "version": "1", "sha256": "0" * 64, "file": "f"}, "max_length": 8},
            "give both",
        ),
        (
            {
                "scratch": {"hidden_size": 8, "intermediate_size": 8, "layers": 1, "heads": 2, "vocabulary": 300},
                "max_length": 8,
            },
            "needs `warm_up`",
        ),
    ],
)
def test_impossible_models_are_refused(entry, message):
    with pytest.raises(ValidationError, match=message):
        config.Model.model_validate(entry)


LISA, LORA = {"layers": 1, "interval": 2}, {"rank": 8, "alpha": 16}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"lisa": LISA, "lora": LORA}, "`lisa` and `lora` exclude each other"),
        ({"lora": LORA | {"rank": 0}}, "greater than 0"),
        ({"lora": LORA | {"dropout": 1.0}}, "less than 1"),
        ({"lora": LORA | {"target": "mlp"}}, "'attention' or 'linear'"),
        ({"lora": {"rank": 8}}, "Field required"),
    ],
)
def test_impossible_adapters_are_refused(entry, message):
    with pytest.raises(ValidationError, match=message):
        config.Model.model_validate({"path": "x", "max_length": 8} | entry)


def test_what_trains_is_what_the_model_says_unless_fine_tuning_says_otherwise():
    model = config.Model.model_validate({"path": "x", "max_length": 8, "lora": LORA})
    lora = config.Lora(**LORA)
    assert model.what_trains() == model.what_trains("lora") == {"lisa": None, "lora": lora}
    assert model.what_trains("full") == {"lisa": None, "lora": None}


def test_the_hosted_judge_in_the_documentation_is_a_valid_section(root):
    text = (root / "docs/mtbench.md").read_text(encoding="utf-8")
    section = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    judge = Evaluations.model_validate(section["evaluations"]).mtbench.judge
    assert judge.kind == "openai" and judge.cost_limit and endpoints.note(judge) == ""


def test_the_benchmarks_in_the_documentation_are_a_valid_section(root):
    text = (root / "docs/math.md").read_text(encoding="utf-8")
    section = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    math = Evaluations.model_validate(section["evaluations"]).math
    assert {name: found.hub.split for name, found in math.benchmarks.named.items()} == {"gsm8k": "test", "math": "test"}
