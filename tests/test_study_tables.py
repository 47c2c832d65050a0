"""Tables of what a study is made of and what it takes, against cases worked by hand."""

import re
from math import isnan

import pandas as pd
import pytest
from test_readable import check_latex
from transformers import AutoConfig

from scalebio import memory_by_mode
from scalebio.config import Lisa, Lora, Model
from scalebio.errors import UserError
from scalebio.known_shapes import KNOWN
from scalebio.tables import ablations, hyperparameters, memory, sources, training_costs
from scalebio.tables.runs import Run

A0, A1, U0 = Run("x", "scalebio", 0), Run("x", "scalebio", 1), Run("x", "uniform", 0)
SCRATCH = {"hidden_size": 16, "intermediate_size": 32, "layers": 3, "heads": 2, "vocabulary": 300}
WARM_UP = {"steps": 1, "batch": 1, "learning_rate": 1e-3}


def manifest(origin, **more):
    dropped = {"dropped_unanswered": 1, "dropped_irregular": 2, "dropped_long": 3}
    return {"origin": origin, "licence": "MIT", "rows": 90, "rows_read": 96, "corruption": None} | dropped | more


def test_a_source_is_told_with_its_origin_and_whether_it_is_pinned():
    hub = {"kind": "hub", "id": "o/d", "subset": None, "split": "train", "revision": "a" * 40}
    file = {"kind": "file", "path": "rows.json", "sha256": "b" * 64, "stands_in_for": {"id": "o/e"}}
    made = {"kind": "generator", "generator": {"kind": "cldr", "language": "de"}}
    facts = {"experiments": ["x", "y"], "roles": ["train"], "gated": None, "asked_revision": None, "whole_rows": None}
    known = {
        "a": facts | {"gated": True, "asked_revision": "unverified", "whole_rows": 52002},
        "b": facts | {"gated": False, "asked_revision": "c" * 40},
        "c": facts,
    }
    manifests = {"a": manifest(hub), "b": manifest(file, corruption={"rate": 0.5}), "c": manifest(made)}
    frame = sources.table(manifests, known)
    assert frame["origin"].tolist() == ["o/d, train", "rows.json (for o/e)", "cldr: de"]
    assert frame["revision"].tolist() == ["a" * 40, "b" * 64, ""]
    assert frame["pinned"].tolist() == ["unverified", "yes", ""] and frame["gated"].tolist() == ["yes", "no", ""]
    assert frame["whole_rows"].isna().tolist() == [False, True, True] and frame["dropped_rows"].tolist() == [6] * 3
    text = sources.readable(frame).markdown()
    assert (
        "| `a` | `x y` | train | `o/d, train` at `aaaaaaaa` unverified | yes | MIT | 0% | 52,002 | 96 | 6 | 90 |"
        in text
    )
    assert "| `c` | `x y` | train | `cldr: de` | – | MIT | 0% | – | 96 | 6 | 90 |" in text
    assert len(check_latex(sources.readable(frame).latex("sources"))) == 4


def test_hyperparameters_are_those_recorded_and_must_agree_between_seeds():
    def made(**settings):
        return {"provenance": {"settings": {"seed": 0, "experiment": "x", "max_length": 8} | settings}}

    method = {"kind": "scalebio", "alpha": 10.0, "differences": {}}
    weights = [
        (A0, made(settings=method, lisa={"layers": 2})),
        (U0, made(settings={"kind": "uniform"}, pool_rows=None)),
    ]
    frame = hyperparameters.table(weights, [(A0, made(finetuning={"rows": 64}))], {"x": {"model": "tiny"}})
    found = {(row.method, row.stage, row.setting): row.value for row in frame.itertuples()}
    assert found == {
        ("scalebio", "weights", "max_length"): "8",
        ("scalebio", "weights", "kind"): "scalebio",
        ("scalebio", "weights", "alpha"): "10.0",
        ("scalebio", "weights", "lisa.layers"): "2",
        ("uniform", "weights", "max_length"): "8",
        ("uniform", "weights", "kind"): "uniform",
        ("scalebio", "finetuning", "max_length"): "8",
        ("scalebio", "finetuning", "rows"): "64",
    }
    text = hyperparameters.readable(frame).markdown()
    assert "| setting | `scalebio` | `uniform` |" in text and "| `alpha` | 10.0 |  |" in text
    other = made(settings=method | {"alpha": 3.0}, lisa={"layers": 2})
    with pytest.raises(UserError, match="x/scalebio/seed1: `alpha` of weights is 3.0, but 10.0 with another seed"):
        hyperparameters.table([*weights, (A1, other)], [], {"x": {"model": "tiny"}})


def test_training_costs_by_hand():
    def measured(seconds, memory):
        return pd.DataFrame({"s": [seconds], "cpu_time": [str(2 * float(seconds))], "max_rss": [memory]})

    def learned(tokens, **where):
        return {"cost": {"forward_tokens": tokens}, "provenance": where}

    steps = pd.DataFrame({"step": [0, 1], "quantity": "peak_memory_gb", "value": [1.5, 2.5]})
    found = {
        "weights": [(A0, learned(100, device="cuda", world_size=8)), (A1, learned(300, device="cuda", world_size=8))]
        + [(U0, learned(0, device="cpu"))],
        "learning": [(A0, measured("10", "100")), (A1, measured("30", "200")), (U0, measured("1", "-"))],
        "trajectory": [(A0, steps), (A1, steps), (U0, steps[:0])],
        "tuning": [(U0, measured("4", "50"))],
        "finetuned": [(U0, {"provenance": {"device": "cpu", "world_size": 4}})],
        "mixture": [(U0, {"sources": {"a": {"tokens": 6}, "b": {"tokens": 4}}})],
    }
    frame = training_costs.table(found, {"x": {"model": "tiny"}}, epochs=2)
    first, second, third = frame.to_dict("records")
    expected = {"method": "scalebio", "stage": "weights", "jobs": 2, "seconds": 20, "cpu_seconds": 40, "gpus": 8}
    expected |= {"gpu_seconds": 160, "max_memory_mb": 200, "max_gpu_memory_gb": 2.5, "forward_tokens": 200}
    assert expected.items() <= first.items() and first["tokens_per_second"] == 10
    assert second["gpu_seconds"] == 0 and isnan(second["tokens_per_second"]) and isnan(second["max_memory_mb"])
    assert (third["stage"], third["forward_tokens"], third["tokens_per_second"]) == ("finetuning", 20, 5)
    assert isnan(third["max_gpu_memory_gb"])
    text = training_costs.readable(frame).markdown()
    assert "| `x` | `scalebio` | weights | 20.0 | 40.0 | 160 | 200 | 2.5 | 200 | 10 | 2 |" in text


def test_ablations_by_hand():
    shares = {"centre": {0: 0.8, 1: 0.6}, "other": {0: 0.5, 1: 0.3}}
    runs = [(Run("x", method, seed), p) for method, by_seed in shares.items() for seed, p in by_seed.items()]
    weights = [(run, {"weights": {"a": p, "b": 1 - p}}) for run, p in runs]
    metrics = [(run, {"test_loss": 1.0 + run.seed + (run.method == "other") / 2}) for run, _ in runs]
    common = {"experiment": "x", "method": "centre", "varied": "alpha"}
    varied = [
        common | {"value": "1", "centre": False, "run": {"experiment": "x", "method": "other"}},
        common | {"value": "10", "centre": True, "run": {"experiment": "x", "method": "centre"}},
    ]
    frame = ablations.table(weights, metrics, varied, {"x": {"expected": {"a": 1.0}}})
    assert frame["from_truth"].tolist() == pytest.approx([0.6, 0.3])
    assert frame["on_needed"].tolist() == pytest.approx([0.4, 0.7])
    assert frame["test_loss"].tolist() == [2.0, 1.5]
    # Both seeds differ by a half: the interval has no width.
    assert frame.loc[0, ["difference", "difference_low", "difference_high"]].tolist() == [0.5] * 3
    assert isnan(frame.loc[1, "difference"]) and frame["is_centre"].tolist() == ["", "yes"]
    text = ablations.readable(frame).markdown()
    assert "| `10` (centre) | 0.300 |" in text and "| 40.0% | 2.0000 |" in text
    bare = ablations.table(weights, metrics, varied, {"x": {"expected": None}})
    assert bare[["from_truth", "on_needed"]].isna().all(axis=None)


PUBLISHED = {
    "openai-community/gpt2": 124_439_808,
    "meta-llama/Meta-Llama-3-8B": 8_030_261_248,
    "HuggingFaceTB/SmolLM2-135M-Instruct": 134_515_008,
    "meta-llama/Meta-Llama-3-70B": 70_553_706_496,
    "EleutherAI/gpt-neox-20b": 20_554_567_680,
    "01-ai/Yi-34B": 34_388_917_248,
    "google/gemma-2-9b": 9_241_705_984,
    "Qwen/Qwen2-7B": 7_615_616_512,
    "Qwen/Qwen2.5-32B": 32_763_876_352,
}


def test_known_shapes_have_the_published_number_of_parameters_and_those_the_studies_state(root):
    """As the models' pages on the hub state them; the study files round them to a tenth of a billion."""
    found = {name: memory_by_mode.parameters(AutoConfig.for_model(**shape)) for name, shape in KNOWN.items()}
    assert found == PUBLISHED
    stated = {}
    for study in ("smollm2", "gpt2", "paper_v1", "paper_acl"):
        text = (root / f"config/{study}.yaml").read_text(encoding="utf-8")
        stated |= dict(re.findall(r"hub: \{id: ([^,]+),.*\}  # ([\d.]+) billion", text))
    assert stated.keys() == KNOWN.keys()
    for name, billions in stated.items():
        digits = len(billions.split(".")[1])
        assert f"{found[name] / 1e9:.{digits}f}" == billions, name


def test_memory_of_every_way_is_what_costs_says_and_its_own_is_marked():
    model = Model.model_validate(
        {"scratch": SCRATCH, "warm_up": WARM_UP, "max_length": 8, "lisa": {"layers": 3, "interval": 2}}
    )
    config = memory_by_mode.shape(model, None)
    rows = memory_by_mode.rows(model, config, processes=4, shard=True, train="full")
    assert [row["trains"] for row in rows[::2]] == ["full", "LISA γ = 1", "LISA γ = 2", "LISA γ = 3", "LoRA rank 16"]
    assert [(row["job"], row["trains"]) for row in rows if row["own"]] == [
        ("finetuning", "full"),
        ("weights", "LISA γ = 3"),
    ]
    as_weights = memory_by_mode.rows(model, config, processes=4, shard=True, train=None)
    assert [row["trains"] for row in as_weights if row["own"]] == ["LISA γ = 3"] * 2
    count = memory_by_mode.parameters(config)
    both, one = rows[0], rows[1]
    # Two models with moments, the gradients of one at a time: 4 (2 + 1 + 4) bytes a parameter; alone 4 (1 + 1 + 2).
    assert (both["job"], both["total"]) == ("weights", 28 * count) and one["total"] == 16 * count
    assert both["per_process"] == pytest.approx(7 * count, abs=3) and both["processes"] == 4
    # A layer: four maps of attention, three of the feed-forward part, two norms.
    layer = 4 * 16 * 16 + 3 * 16 * 32 + 2 * 16
    assert rows[2]["gradients"] == 4 * (count - 2 * layer) and rows[4]["gradients"] - rows[2]["gradients"] == 4 * layer
    # Adapters of both models, and what they leave frozen once.
    assert rows[8]["parameters"] == 4 * count + 2 * rows[8]["gradients"]
    frame = memory.table([{"model": "m_1", "parameters": count, "rows": rows}])
    text = memory.readable(frame).markdown()
    assert "`m_1`" in text and "4 processes" in text and "| weights | **LISA γ = 3** |" in text
    check_latex(memory.readable(frame).latex("memory"))


def test_ways_follow_the_models_own_settings():
    common = {"hub": {"id": "o/m", "revision": "unverified"}, "max_length": 8}
    frozen = Model.model_validate(common | {"lisa": {"layers": 6, "interval": 5, "embeddings": False}})
    found = list(memory_by_mode.ways(frozen, 30))
    assert [name for name, _ in found] == [
        "full", *(f"LISA γ = {gamma}, frozen embeddings" for gamma in (1, 2, 4, 6)), "LoRA rank 16",
    ]  # fmt: skip
    assert all(isinstance(settings, Lisa) and not settings.embeddings for _, settings in found[1:5])
    adapted = Model.model_validate(common | {"lora": {"rank": 4, "alpha": 8}})
    assert list(memory_by_mode.ways(adapted, 30))[-1] == ("LoRA rank 4", Lora(rank=4, alpha=8))
    assert [name for name, _ in memory_by_mode.ways(adapted, 2)] == ["full", "LISA γ = 1", "LISA γ = 2", "LoRA rank 4"]
