"""What training a model of the study will hold in memory, by what trains: everything, some layers (LISA), or adapters (LoRA).

Computed by `costs` on a model without values, so the largest model takes seconds and no memory.
"""

from collections.abc import Iterator

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig

from scalebio import base_models, costs, lisa, lora
from scalebio.config import Lisa, Lora, Model, sections
from scalebio.known_shapes import KNOWN

GAMMAS = (1, 2, 4)
# For a model of the study that has no adapters of its own.
ADAPTERS = Lora(rank=16, alpha=32)
JOBS = {"weights": 2, "finetuning": 1}


def shape(model: Model, folder: str | None) -> PretrainedConfig:
    """The shape of a model: of its entry from scratch, by its id on the hub where that is known, else of the fetched folder."""
    if model.scratch:
        return base_models.scratch_config(model.scratch, model.scratch.vocabulary, model.max_length)
    if model.hub and model.hub.id in KNOWN:
        return AutoConfig.for_model(**KNOWN[model.hub.id])
    return AutoConfig.from_pretrained(folder, trust_remote_code=False)


def ways(model: Model, count: int) -> Iterator[tuple[str, Lisa | Lora | None]]:
    """(how it trains, LISA's or the adapters' settings) for a model of `count` layers, the study's own way among them."""
    yield "full", None
    gammas = sorted({gamma for gamma in (*GAMMAS, *([model.lisa.layers] if model.lisa else [])) if gamma <= count})
    for gamma in gammas:
        settings = (model.lisa or Lisa(layers=gamma, interval=1)).model_copy(update={"layers": gamma})
        yield f"LISA γ = {gamma}{'' if settings.embeddings else ', frozen embeddings'}", settings
    adapters = model.lora or ADAPTERS
    yield f"LoRA rank {adapters.rank}", adapters


def rows(model: Model, config: PretrainedConfig, processes: int, shard: bool, train: str | None) -> list[dict]:
    """One row a job and way: bytes of parameters, gradients and optimiser states, of all and of one of `processes`.

    `train` is `finetuning.train` of the study; `own` says which way the study sets for the job.
    """

    def fresh() -> torch.nn.Module:
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config)

    plain, found = fresh(), []
    for trains, settings in ways(model, len(lisa.find_layers(plain))):
        own_way = sections(settings)
        layers, adapters = own_way.values()
        shaped = lora.attach(fresh(), adapters, 0) if adapters else plain
        for job, models in JOBS.items():
            held = costs.held(shaped, layers, models)
            one = costs.held(shaped, layers, models, processes, shard)
            own = model.what_trains(train if job == "finetuning" else None) == own_way
            found.append(
                {"job": job, "trains": trains, "own": own, "parameters": held.parameters, "gradients": held.gradients}
                | {"states": held.states, "total": held.total, "processes": processes, "per_process": one.total}
            )
    return found


def parameters(config: PretrainedConfig) -> int:
    """How many numbers a model of this shape is."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in AutoModelForCausalLM.from_config(config).parameters())
