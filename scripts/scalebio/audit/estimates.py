"""Every job of a study with its stage, memory, time and disk: what `plan`, `work`, `memory`, `times` and `disk` say, put together."""

import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from transformers import PretrainedConfig

from scalebio import memory_by_mode
from scalebio.audit import disk, memory, sources, times, work
from scalebio.audit.plan import Planned
from scalebio.audit.work import Work
from scalebio.config import Experiment, Hardware, Model, Study
from scalebio.config_methods import Fixed
from scalebio.mtbench.endpoints import KEY_VARIABLE

EVERYTHING = {"lisa": None, "lora": None}
STAGES = {
    "sources": ("fetch_source", "fetch_hub_source"),
    "pools": ("build_pool",),
    "base models": ("fetch_model", "warm_up"),
    "weights": ("learn_weights", "transfer_weights"),
    "mixtures": ("draw_mixture",),
    "fine-tuning": ("finetune",),
    "evaluations": ("evaluate", "fetch_math", "answer_math", "score_math", "compare_math", "fetch_mtbench", "mtbench_"),
    "gates": ("check_", "clear_gate"),
    "tables and figures": ("table_", "figure_", "claims", "predict_memory"),
    "report": ("report",),
}
OTHER = "other targets"
# Whole copies of a model that are in main memory at once: after fine-tuning it is gathered, and put together to be saved.
WHOLE = {"finetune": 2}


@dataclass(frozen=True)
class Machine:
    """What an audit asks of the machine that it runs on: the hub's token, a judge's key, and whether vLLM answers."""

    token: bool = False
    judge_key: bool = False
    vllm: bool = False


def here() -> Machine:
    """This machine."""
    from huggingface_hub import get_token

    return Machine(bool(get_token()), bool(os.environ.get(KEY_VARIABLE)), importlib.util.find_spec("vllm") is not None)


@dataclass(frozen=True)
class Estimate:
    """One job and what it takes: memory, disk, checkpoints in bytes (None: not known), `download` from … to in bytes.

    `main_memory`: of a node, for jobs on GPUs; jobs without have it in `fit`.
    """

    job: Planned
    stage: str
    fit: memory.Fit | None
    time: times.Time
    hardware: Hardware | None = None
    model: str | None = None
    kind: str = ""
    disk: float | None = None
    checkpoints: float = 0.0
    download: tuple[float, float] | None = None
    revision: str | None = None
    main_memory: float | None = None

    @property
    def hours(self) -> float | None:
        """Hours of the job; None where not known."""
        return None if self.time.seconds is None else self.time.seconds / 3600

    @property
    def gpu_hours(self) -> float | None:
        """Hours times GPUs; 0 without GPUs, None where not known."""
        if not self.job.gpus:
            return 0.0
        return None if self.hours is None else self.hours * self.job.gpus


def stage_of(rule: str) -> str:
    """The stage that a rule belongs to; names that end in `_` stand for all rules that begin so."""
    for stage, rules in STAGES.items():
        if any(rule.startswith(name) if name.endswith("_") else rule == name for name in rules):
            return stage
    return OTHER


class Estimator:
    """Estimates of one study's jobs; `results`: folder of its results, as seen from the working directory; `known`: its sources'."""

    def __init__(
        self, study: Study, jobs: list[Planned], results: Path, machine: Machine, known: dict[str, sources.Supply]
    ):
        self.study, self.jobs, self.results, self.machine = study, jobs, results, machine
        self.rows = sources.rows_known(known)
        # Models without values still take seconds, so each question is asked once.
        self._answers: dict[tuple, object] = {}

    def _once(self, key: tuple, ask: Callable[[], object]) -> object:
        if key not in self._answers:
            self._answers[key] = ask()
        return self._answers[key]

    def all(self) -> list[Estimate]:
        """One for every job, in the same order."""
        return [self.one(job) for job in self.jobs]

    def one(self, job: Planned) -> Estimate:
        """Of one job."""
        match job.rule:
            case "learn_weights" | "finetune" | "warm_up" | "evaluate" | "answer_math" | "mtbench_answers":
                return self._with_model(job)
            case "fetch_model":
                return self._fetching(job)
            case "fetch_source" | "fetch_hub_source":
                hub = None if self.study.offline_data else self.study.sources[job.wildcards["source"]].hub
                return self._plain(job, revision=sources.revision(hub))
        return self._plain(job)

    def _plain(self, job: Planned, **known) -> Estimate:
        """A job without a model: only what was measured before is known of it."""
        unknown = times.Time(None, "not known: not measured yet, and no model computes")
        return Estimate(job, stage_of(job.rule), None, times.measured(job, self.jobs) or unknown, **known)

    def shape(self, name: str) -> PretrainedConfig | None:
        """The shape of a model of the study, also from the results where it has been fetched; None if not known."""
        model, folder = self.study.models[name], self.results / "models" / name
        fetched = str(folder) if (folder / "config.json").is_file() else None
        return self._once(("shape", name), lambda: memory.known_shape(model, fetched))

    def parameters(self, name: str) -> int | None:
        """How many numbers a model of the study is; None if that is not known."""
        config = self.shape(name)
        return self._once(("parameters", name), lambda: memory_by_mode.parameters(config)) if config else None

    def _fetching(self, job: Planned) -> Estimate:
        name = job.wildcards["model"]
        model, count = self.study.models[name], self.parameters(name)
        from_hub = bool(model.hub) and not self.study.offline_data
        return self._plain(
            job,
            model=name,
            disk=disk.model(count),
            download=disk.download(count) if from_hub else None,
            revision=sources.revision(model.hub if from_hub else None),
        )

    def _with_model(self, job: Planned) -> Estimate:
        experiment = self.study.experiments[job.wildcards["experiment"]]
        model = self.study.models[experiment.model]
        config, done = self.shape(experiment.model), self._work(job, experiment)
        training = job.rule in ("learn_weights", "finetune")
        idle = job.rule == "learn_weights" and not done.models
        hardware = Hardware() if idle else model.hardware if training else alone(model.hardware)
        trains = self._trains(job, model)
        trained = job.rule in ("learn_weights", "finetune", "warm_up")
        key = (experiment.model, self._kind(job), len(experiment.sources))
        fit = None if idle else self._once(key, lambda: self._fit(job, model, config, done, hardware, trains, trained))
        count = self.parameters(experiment.model)
        devices = job.gpus or hardware.cpus * hardware.processes * hardware.nodes
        time = times.measured(job, self.jobs) or times.stated(done, count, hardware, devices, model.max_length)
        plain = ("states", experiment.model, *trains.values())
        whole = training and config and not idle
        states = (
            self._once(plain, lambda: memory.training(model, config, trains, Work(), Hardware()).states) if whole else 0
        )
        return Estimate(
            job,
            stage_of(job.rule),
            fit,
            time,
            hardware,
            experiment.model,
            self._kind(job),
            disk.model(count) if job.rule in ("finetune", "warm_up") else 0.0,
            disk.checkpoints(count, done.models, states) if whole else 0.0,
            None,
            sources.revision(None if self.study.offline_data else model.hub),
            memory.main_memory(count, states, done.models, WHOLE.get(job.rule, 1), hardware)
            if job.gpus and count
            else None,
        )

    def _work(self, job: Planned, experiment: Experiment) -> Work:
        study = self.study
        match job.rule:
            case "learn_weights":
                return work.learning(study, experiment, study.methods[job.wildcards["method"]], self.rows)
            case "finetune":
                return work.finetuning(study, experiment)
            case "warm_up":
                return work.warming(study, experiment.model)
            case "evaluate":
                return work.evaluating(study, experiment)
            case "answer_math":
                return work.solving(study, experiment)
        return work.answering(study, experiment)

    def _trains(self, job: Planned, model: Model) -> dict:
        if job.rule == "learn_weights":
            # LESS attaches adapters of its own, exact methods train everything; both are small studies' methods.
            whole = self.study.methods[job.wildcards["method"]].kind == "exact_bilevel"
            return EVERYTHING if whole else model.what_trains()
        return model.what_trains(self.study.finetuning.train) if job.rule == "finetune" else EVERYTHING

    def _fit(self, job, model, config, done, hardware, trains, trained) -> memory.Fit:
        if config is None:
            why = "its shape is known when it is fetched; run `fetch_model` first"
            return memory.judged(None, hardware, False, why)
        if trained:
            held = memory.training(model, config, trains, done, hardware)
        else:
            held = memory.answering(config, done, self._length(job, model), hardware)
            if self._by_vllm(job, hardware):
                held = memory.halved(held)
        fit = memory.judged(held, hardware, bool(model.scratch))
        return memory.advised(fit, memory.change(fit, trains, hardware, trained, job.rule != "evaluate"))

    def _length(self, job: Planned, model: Model) -> int:
        evaluations = self.study.evaluations
        section = {"answer_math": evaluations.math, "mtbench_answers": evaluations.mtbench}.get(job.rule)
        return (section and section.max_length) or model.max_length

    def _by_vllm(self, job: Planned, hardware: Hardware) -> bool:
        """Whether vLLM answers, which holds two bytes a parameter."""
        evaluations = self.study.evaluations
        section = {"answer_math": evaluations.math, "mtbench_answers": evaluations.mtbench}.get(job.rule)
        engine = section.engine if section else "transformers"
        return engine == "vllm" or (engine == "auto" and self.machine.vllm and hardware.gpus > 0)

    def _kind(self, job: Planned) -> str:
        """What jobs of one memory and time have in common, for a table: the rule, and the method where weights are learned."""
        if job.rule != "learn_weights":
            return job.rule
        name = job.wildcards["method"]
        fixed = isinstance(self.study.methods[name], Fixed)
        return f"{job.rule} {name}{' (learns nothing)' if fixed else ''}"


def alone(hardware: Hardware) -> Hardware:
    """The same hardware for a job of one process that trains nothing in parts."""
    few = {"nodes": 1, "processes": 1, "gpus": min(1, hardware.gpus), "shard": False, "offload": False}
    return hardware.model_copy(update=few | {"recompute": False, "micro_batch": None})
