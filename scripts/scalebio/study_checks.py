"""What ties the parts of a study file together: names that must exist elsewhere, sums, files that must be there.

Works on the mapping as loaded, not on a `Study`, so that these faults are listed beside those of single values even
when the file does not fit the models; whatever has the wrong type is skipped here, because the models report it.
"""

import difflib
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import get_args

from pydantic import BaseModel

from scalebio.config import Experiment, Finetuning, Model
from scalebio.config_evaluations import Accuracy, Evaluations, Math, MTBench
from scalebio.config_methods import WARM_STARTED, Fixed, ScaleBiO


def nearest(name: object, known: Iterable[str]) -> str:
    """A suggestion to put behind a message about an unknown name: the nearest known one, or all of a few."""
    known = sorted(set(map(str, known)))
    near = difflib.get_close_matches(str(name), known, 1, cutoff=0.5)
    if near:
        return f"; did you mean `{near[0]}`?"
    return f"; known are {', '.join(f'`{item}`' for item in known)}" if known else ""


SECTIONS = {"sources": "sources", "methods": "methods", "reference": "references", "model": "models"}
"""Where the names under each of these keys of an experiment are looked up."""

RESULT_FOLDERS = ("models", "sources", "tables", "figures", "downloads", "benchmarks", "memory", "gates")
"""What lies beside the experiments' folders in `results/<study>/`."""


def cross_checks(config: object) -> list[str]:
    """One line for every fault, in the order in which a study file is read."""
    config = _mapping(config)
    checks = (
        _references,
        _parts,
        _given,
        _finetuning,
        _experiments,
        _transfers,
        _starts,
        _run,
        _used_settings,
        _origins,
    )
    return [fault for check in checks for fault in check(config)]


def _mapping(value: object) -> dict:
    return value if isinstance(value, dict) else {}


def _section(config: dict, name: str) -> dict[str, dict]:
    """Entries of `sources`, `experiments`, ... that are mappings."""
    return {key: entry for key, entry in _mapping(config.get(name)).items() if isinstance(entry, dict)}


def _names(value: object) -> list[str]:
    """The names in a list, a mapping's keys, or a single name."""
    if isinstance(value, str):
        return [value]
    return [name for name in value if isinstance(name, str)] if isinstance(value, (list, dict)) else []


def _number(section: dict, key: str, model: type[BaseModel]) -> float | None:
    """The number under a key of a section, or its default in `model`; None if it is no number, or required and unset."""
    value = section.get(key, model.model_fields[key].default)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _in_run(config: dict) -> dict[str, dict]:
    """The experiments that `run` names, in its order."""
    experiments = _section(config, "experiments")
    return {name: experiments[name] for name in _names(config.get("run")) if name in experiments}


def _unknown(path: str, value: object, what: str, known: object) -> Iterator[str]:
    """A fault for each name in `value` that is not among `known`, the section `what`."""
    for name in dict.fromkeys(_names(value)):
        if name not in _mapping(known):
            yield f"{path}: there is no `{name}` under `{what}`{nearest(name, _mapping(known))}"


def _repeated(path: str, value: object) -> Iterator[str]:
    if isinstance(value, list):
        for item, count in Counter(map(str, value)).items():
            if count > 1:
                yield f"{path}: `{item}` is listed {count} times"


def _references(config: dict) -> Iterator[str]:
    for name, reference in _section(config, "references").items():
        for part in ("validation", "test"):
            yield from _unknown(f"references.{name}.{part}", reference.get(part), "sources", config.get("sources"))


def _parts(config: dict) -> Iterator[str]:
    """Parts of one file or data set are disjoint only if all are cut in the same way from the same rows."""
    first = {}
    for name, source in _section(config, "sources").items():
        part, hub = _mapping(source.get("part")), _mapping(source.get("hub"))
        if not part:
            continue
        file = source.get("file")
        origin = (hub.get("id"), hub.get("revision"), hub.get("subset"), hub.get("split", "train"))
        origin = os.path.normpath(file) if isinstance(file, str) else origin
        cut = {"part.of": part.get("of")}
        cut |= {"format": source.get("format", "auto")}
        cut |= {key: source.get(key) for key in ("max_characters", "max_prompt_bytes")}
        cut |= {key: source.get(key, False) for key in ("drop_unanswered", "drop_irregular")}
        other, other_cut = first.setdefault(str(origin), (name, cut))
        for key, value in cut.items():
            if value != other_cut[key]:
                yield (
                    f"sources.{name}.{key}: {value!r}, but sources.{other} takes a part of the same rows with "
                    f"{other_cut[key]!r}; the parts would overlap, so make them agree"
                )


def _given(config: dict) -> Iterator[str]:
    for name, method in _section(config, "methods").items():
        if method.get("kind") == "given":
            yield from _sum(f"methods.{name}.weights", _mapping(method.get("weights")))


def _finetuning(config: dict) -> Iterator[str]:
    finetuning = _mapping(config.get("finetuning"))
    rows, epochs, batch = (_number(finetuning, key, Finetuning) for key in ("rows", "epochs", "batch"))
    if None not in (rows, epochs, batch) and rows * epochs < batch:
        found = f"rows × epochs = {rows * epochs}, fewer than batch = {batch}"
        yield f"finetuning.rows: {found}, so not one step could be made; raise it or lower the batch"
    for name, experiment in _section(config, "experiments").items():
        rows = _number(experiment, "mixture_rows", Experiment)
        if None not in (rows, epochs, batch) and rows * epochs < batch:
            found = f"mixture_rows × finetuning.epochs = {rows * epochs}, fewer than finetuning.batch = {batch}"
            yield f"experiments.{name}.mixture_rows: {found}, so not one step could be made; raise it or lower the batch"
    models, train = _section(config, "models"), finetuning.get("train")
    used = {name: experiment.get("model") for name, experiment in _in_run(config).items()}
    for experiment, model in used.items():
        if train in ("lisa", "lora") and isinstance(model, str) and model in models and not models[model].get(train):
            yield (
                f"finetuning.train: `{train}` needs the section models.{model}.{train}, which experiments.{experiment} does "
                f"not find; add it, or take `full`, or leave `train` out to train what the model says"
            )


def _experiments(config: dict) -> Iterator[str]:
    sources, references = _section(config, "sources"), _section(config, "references")
    for name, experiment in _section(config, "experiments").items():
        path = f"experiments.{name}"
        if name in RESULT_FOLDERS:
            yield f"{path}: `{name}` is a folder of the results in its own right; give the experiment another name"
        for key, section in SECTIONS.items():
            yield from _unknown(f"{path}.{key}", experiment.get(key), section, config.get(section))
        for key in ("sources", "methods", "seeds", "evaluate"):
            yield from _repeated(f"{path}.{key}", experiment.get(key))
        reference_name = experiment.get("reference")
        reference = references.get(reference_name, {}) if isinstance(reference_name, str) else {}
        tested = _names(reference.get("test") or reference.get("validation"))
        for source in dict.fromkeys(_names(reference.get("validation")) + tested):
            if source in _names(experiment.get("sources")) and experiment.get("leakage") != "allow":
                yield f"{path}.sources: `{source}` is also in its reference `{reference_name}`; take other rows"
        for evaluation in dict.fromkeys(_names(experiment.get("evaluate"))):
            if evaluation in Evaluations.model_fields and not _mapping(config.get("evaluations")).get(evaluation):
                yield f"{path}.evaluate: `{evaluation}` needs `evaluations.{evaluation}`, which is not there"
        generated = [bool(_mapping(sources[source].get("generator"))) for source in tested if source in sources]
        if "accuracy" in _names(experiment.get("evaluate")) and generated and not any(generated):
            needs = "`accuracy` needs test rows from a generator, which can check answers"
            yield f"{path}.evaluate: {needs}; reference `{reference_name}` has none"
        yield from _expected(path, experiment)
        yield from _foreign(f"{path}.control.sources", _mapping(experiment.get("control")).get("sources"), experiment)
        yield from _oracle(path, experiment, _section(config, "methods"))
        yield from _given_to(path, experiment, _section(config, "methods"))


def _expected(path: str, experiment: dict) -> Iterator[str]:
    expected = _mapping(experiment.get("expected"))
    yield from _foreign(f"{path}.expected", expected, experiment)
    yield from _sum(f"{path}.expected", expected)


def _foreign(
    path: str, named: object, experiment: dict, whose: str = "the experiment's sources", do: str = ""
) -> Iterator[str]:
    """A fault for each source in `named` that the experiment does not have."""
    sources = _names(experiment.get("sources"))
    for source in _names(named):
        if source not in sources:
            yield f"{path}: `{source}` is not one of {whose}{nearest(source, sources)}{do}"


def _sum(path: str, shares: dict) -> Iterator[str]:
    numbers = [value for value in shares.values() if isinstance(value, (int, float))]
    if shares and len(numbers) == len(shares) and abs(sum(numbers) - 1) > 1e-6:
        yield f"{path}: expected shares that sum to 1; found a sum of {sum(numbers):.6g}"


def _given_to(path: str, experiment: dict, methods: dict[str, dict]) -> Iterator[str]:
    for name in _names(experiment.get("methods")):
        do = f"; give shares of its sources, or take `{name}` out of {path}.methods"
        weights = _mapping(methods.get(name, {}).get("weights"))
        yield from _foreign(f"methods.{name}.weights", weights, experiment, f"the sources of {path}", do)


def _oracle(path: str, experiment: dict, methods: dict[str, dict]) -> Iterator[str]:
    for name in _names(experiment.get("methods")):
        if methods.get(name, {}).get("kind") == "oracle" and not _names(experiment.get("expected")):
            yield (
                f"{path}.expected: missing, and the oracle `{name}` takes its weights from there; give the planted shares "
                f"of the sources, or take `{name}` out of {path}.methods"
            )


def _transfers(config: dict) -> Iterator[str]:
    """Weights can be taken from an experiment that learns them: on the same sources, for each method and each seed."""
    experiments, run = _section(config, "experiments"), _names(config.get("run"))
    for name, experiment in experiments.items():
        origin, path = experiment.get("weights_from"), f"experiments.{name}.weights_from"
        if not isinstance(origin, str):
            continue
        if origin == name:
            yield f"{path}: an experiment cannot take its weights from itself; name the one that learns them"
            continue
        yield from _unknown(path, origin, "experiments", experiments)
        learner = experiments.get(origin, {})
        if further := learner.get("weights_from"):
            yield f"{path}: `{origin}` learns no weights either, it takes those of `{further}`; name the one that learns"
        if experiment.get("validation_bootstrap"):
            yield (
                f"experiments.{name}.validation_bootstrap: no weights are learned here; set it in `{origin}`, where they come from"
            )
        if name in run and origin in experiments and origin not in run:
            yield f"{path}: `{origin}` is not in `run`, so nothing would learn its weights; add it there"
        sources, theirs = set(_names(experiment.get("sources"))), set(_names(learner.get("sources")))
        if learner and sources != theirs:
            apart = ", ".join(f"`{source}`" for source in sorted(sources ^ theirs))
            yield f"{path}: weights belong to sources, and {apart} stand in only one of `{name}` and `{origin}`"
        for key in ("methods", "seeds"):
            known = experiment.get(key), learner.get(key)
            if all(isinstance(values, list) for values in known):
                for value in (value for value in known[0] if value not in known[1]):
                    yield f"experiments.{name}.{key}: `{value}` is not among those of `{origin}`, where its weights come from"


def _starts(config: dict) -> Iterator[str]:
    """Weights to start from: of an experiment in `run` with the same method and seed, or a file; for methods that can start there."""
    experiments, methods, run = _section(config, "experiments"), _section(config, "methods"), _names(config.get("run"))
    for name, experiment in experiments.items():
        origin, path = experiment.get("start_from"), f"experiments.{name}.start_from"
        if not isinstance(origin, str):
            continue
        if experiment.get("weights_from"):
            yield f"{path}: nothing is learned where weights are taken over (`weights_from`); leave one of the two out"
        kinds = {method: _mapping(methods.get(method)).get("kind") for method in _names(experiment.get("methods"))}
        fixed = {
            kind for section in Fixed.__subclasses__() for kind in get_args(section.model_fields["kind"].annotation)
        }
        for method, kind in kinds.items():
            if kind not in (None, *fixed, *WARM_STARTED):
                yield (
                    f"{path}: the method `{method}` (kind `{kind}`) cannot start from weights learned before, only "
                    f"{', '.join(f'`{known}`' for known in WARM_STARTED)} can; leave it out of experiments.{name}.methods"
                )
        if origin.endswith(".json"):
            if name in run and not Path(origin).is_file():
                yield f"{path}: {_no_file(origin)}"
            continue
        yield from _unknown(path, origin, "experiments", experiments)
        if name in run and origin in experiments and origin not in run:
            yield f"{path}: `{origin}` is not in `run`, so nothing would learn its weights; add it there"
        seen, other = [name], origin
        while isinstance(other, str) and other in experiments and other not in seen:
            seen, other = [*seen, other], experiments[other].get("start_from")
        if other == name:
            yield f"{path}: goes in a circle ({' → '.join([*seen, name])}); one of them must start from equal weights"
        learner = experiments.get(origin, {})
        for key in ("methods", "seeds"):
            known = experiment.get(key), learner.get(key)
            if all(isinstance(values, list) for values in known):
                wanted = (
                    known[0] if key == "seeds" else [method for method in known[0] if kinds.get(method) not in fixed]
                )
                for value in (value for value in wanted if value not in known[1]):
                    yield f"experiments.{name}.{key}: `{value}` is not among those of `{origin}`, where it starts from"


def _run(config: dict) -> Iterator[str]:
    yield from _unknown("run", config.get("run"), "experiments", config.get("experiments"))
    yield from _repeated("run", config.get("run"))


def _used_settings(config: dict) -> Iterator[str]:
    """Limits that a setting has only where an experiment in `run` uses it."""
    models, methods = _section(config, "models"), _section(config, "methods")
    evaluations = _section(config, "evaluations")
    for name, experiment in _in_run(config).items():
        model = experiment.get("model") if isinstance(experiment.get("model"), str) else None
        for evaluation, kind in (("accuracy", Accuracy), ("math", Math), ("mtbench", MTBench)):
            if evaluation not in _names(experiment.get("evaluate")) or evaluation not in evaluations:
                continue
            settings, path = evaluations[evaluation], f"evaluations.{evaluation}"
            limit, where = _number(models.get(model, {}), "max_length", Model), f"models.{model}.max_length"
            if settings.get("max_length") is not None and "max_length" in kind.model_fields:
                limit, where = _number(settings, "max_length", kind), f"{path}.max_length"
            tokens = _number(settings, "max_new_tokens", kind)
            if limit is not None and tokens is not None and tokens >= limit:
                yield (
                    f"{path}.max_new_tokens: {tokens} leaves no room for a question in {where} = {limit}, "
                    f"where experiments.{name} asks them; lower the first or raise the second"
                )
        count = len(_names(experiment.get("sources")))
        for method in dict.fromkeys(_names(experiment.get("methods"))):
            below = _number(methods.get(method, {}), "prune_below", ScaleBiO)
            if count and below is not None and below >= 1 / count:
                yield (
                    f"methods.{method}.prune_below: {below} is not below 1/{count}, an even share of the {count} "
                    f"sources of experiments.{name}: all weights could become 0; lower it"
                )


def _origins(config: dict) -> Iterator[str]:
    """Files that must be there, for what the experiments in `run` use."""
    sources, models, references = (_section(config, name) for name in ("sources", "models", "references"))
    folder = config.get("offline_data")
    folder = folder if isinstance(folder, str) else None
    folder_there = folder is not None and Path(folder).is_dir()
    if folder and not folder_there:
        yield f"offline_data: there is no folder {folder} (looked in {Path.cwd()})"
    used_sources, used_models, evaluated = {}, {}, set()
    for experiment in _in_run(config).values():
        reference = experiment.get("reference")
        reference = references.get(reference, {}) if isinstance(reference, str) else {}
        for value in (experiment.get("sources"), reference.get("validation"), reference.get("test")):
            used_sources |= {name: sources[name] for name in _names(value) if name in sources}
        used_models |= {name: models[name] for name in _names(experiment.get("model")) if name in models}
        evaluated |= set(_names(experiment.get("evaluate")))
    math = _mapping(_mapping(config.get("evaluations")).get("math")) if "math" in evaluated else {}
    rows_of = {f"sources.{name}": source for name, source in used_sources.items()}
    rows_of |= {
        f"evaluations.math.benchmarks.{name}": benchmark for name, benchmark in _section(math, "benchmarks").items()
    }
    for path, source in rows_of.items():
        file, local = source.get("file"), source.get("local")
        if isinstance(file, str) and not Path(file).is_file():
            yield f"{path}.file: {_no_file(file)}"
        if folder and source.get("hub") and not local:
            yield f"{path}.local: missing; `offline_data` is set, so a file in it must stand in for `hub`"
        if folder_there and isinstance(local, str) and not Path(folder, local).is_file():
            yield f"{path}.local: there is no file {Path(folder, local)}"
    for name, model in used_models.items():
        path = model.get("path")
        if isinstance(path, str) and not Path(path).is_dir():
            yield f"models.{name}.path: there is no folder {path} (looked in {Path.cwd()})"
        yield from _template(f"models.{name}.chat_template", model.get("chat_template"))
        if folder and model.get("hub") and not model.get("package"):
            yield f"models.{name}.package: missing; `offline_data` is set, so a package must stand in for `hub`"
    yield from _template("evaluations.math.chat_template", math.get("chat_template"))
    mtbench = _mapping(_mapping(config.get("evaluations")).get("mtbench"))
    yield from _template("evaluations.mtbench.chat_template", mtbench.get("chat_template"))
    yield from _mtbench_folders(mtbench)


def _no_file(path: str) -> str:
    if Path(path).is_dir():
        return f"{path} is a folder; name one file in it"
    return f"there is no file {path} (looked in {Path.cwd()})"


def _template(path: str, file: object) -> Iterator[str]:
    if isinstance(file, str) and not Path(file).is_file():
        yield f"{path}: {_no_file(file)}"


def _mtbench_folders(mtbench: dict) -> Iterator[str]:
    origins = mtbench.get("data")
    for number, origin in enumerate(origins if isinstance(origins, list) else []):
        folder = _mapping(origin).get("folder")
        if isinstance(folder, str) and not Path(folder).is_dir():
            yield f"evaluations.mtbench.data.{number}.folder: there is no folder {folder} (looked in {Path.cwd()})"
