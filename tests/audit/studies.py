"""A small study for tests of the audit, as a mapping that each test alters, and jobs of it that are planned by hand."""

import copy

from scalebio.audit.plan import MISSING, NOT_THERE, Planned, Reason
from scalebio.config import Study
from scalebio.study import load_study

COMMIT = "0" * 40
STUDY = {
    "study": "audited",
    "run": ["chat"],
    "models": {
        "eight": {
            "hub": {"id": "meta-llama/Meta-Llama-3-8B", "revision": COMMIT},
            "max_length": 512,
            "lisa": {"layers": 2, "interval": 5},
            "hardware": {"gpus": 8, "processes": 8, "card": "A40", "shard": True, "recompute": True, "micro_batch": 1}
            | {"memory_gb": 200},
        }
    },
    "sources": {
        "one": {"hub": {"id": "a/one", "revision": COMMIT}, "rows": 1000, "licence": "MIT"},
        "two": {"hub": {"id": "a/two", "revision": COMMIT}, "rows": 1000, "licence": "MIT"},
        "held_out": {"hub": {"id": "a/three", "revision": COMMIT}, "rows": 400, "licence": "MIT"},
    },
    "references": {"wanted": {"validation": {"held_out": 1}, "validation_rows": 200, "test_rows": 200}},
    "methods": {
        "uniform": {"kind": "uniform"},
        "scalebio": {"kind": "scalebio", "steps": 10, "learning_rate": 1e-5, "per_source": 4, "validation_batch": 8}
        | {"check_steps": 0},
    },
    "finetuning": {"rows": 1000, "batch": 10, "learning_rate": 1e-5},
    "experiments": {
        "chat": {"sources": ["one", "two"], "reference": "wanted", "model": "eight", "methods": ["uniform", "scalebio"]}
        | {"seeds": [0]}
    },
}


def study(change=lambda study: None) -> Study:
    """The study after `change` has altered its mapping."""
    mapping = copy.deepcopy(STUDY)
    change(mapping)
    return load_study(mapping)


def planned(rule: str, **more) -> Planned:
    """A job of the study that would run because its result is not there."""
    wildcards = more.pop("wildcards", {"experiment": "chat", "model": "eight", "method": "scalebio", "seed": "0"})
    outputs = more.pop("outputs", [f"results/audited/{rule}.json"])
    reasons = more.pop("reasons", [Reason(NOT_THERE, "not made yet")])
    facts = {"benchmark": None, "threads": 8, "nodes": 1, "gpus": 0, "memory_mb": 200_000, "minutes": 1440} | more
    return Planned(rule, wildcards, outputs, state=facts.pop("state", MISSING), reasons=reasons, **facts)
