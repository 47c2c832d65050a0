"""Which runs of a study differ from another one in a single setting, so that a table and a figure can show what it does.

Nothing in a study says so: it is derived. The centre of an experiment is the first of its methods of one kind; the others of this
kind that differ from it in one setting vary the method. Another experiment on the same sources and reference, whose model
differs from this one's in one setting (beside what it runs on) and that has the centre's method, varies the model.
Imports nothing heavy, because the Snakefile asks.
"""

from collections.abc import Iterator

from pydantic import BaseModel

from scalebio.config import Study

# What a model runs on is no part of what it is.
OF_NO_MATTER = {"hardware"}
# Another model altogether, not another setting of one.
ORIGINS = ("hub", "path", "package")


def settings_of(section: BaseModel) -> dict[str, object]:
    """Every setting of a section under its dotted key, defaults included."""
    return _flat(section.model_dump(mode="json", exclude=OF_NO_MATTER))


def _flat(values: dict, prefix: str = "") -> dict[str, object]:
    found = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def single_difference(one: BaseModel, other: BaseModel) -> str | None:
    """The key of the only setting in which two sections differ; None where they differ in none or in several."""
    mine, theirs = settings_of(one), settings_of(other)
    keys = [key for key in mine | theirs if mine.get(key) != theirs.get(key)]
    return keys[0] if len(keys) == 1 else None


def variations(study: Study) -> list[dict]:
    """Rows {experiment, method, varied, value, centre, run: {experiment, method}}: each varied setting with its centre.

    Sorted by value within a setting, where values are numbers.
    """
    found: dict[tuple[str, str, str], list[dict]] = {}
    varied_models: set[str] = set()
    for experiment in study.run:
        for method in _centres(study, experiment):
            made = list(_by_method(study, experiment, method))
            # The experiment named first in `run` is the centre: no two others are held against each other.
            if experiment not in varied_models:
                models = list(_by_model(study, experiment, method))
                varied_models |= {run["experiment"] for *_, run in models}
                made += models
            for varied, centre, value, run in made:
                whose = {"experiment": experiment, "method": method}
                rows = found.setdefault((experiment, method, varied), [_row(whose, varied, centre, whose)])
                rows.append(_row(whose, varied, value, run))
    return [row for rows in found.values() for row in sorted(rows, key=_place)]


def _by_method(study: Study, experiment: str, method: str) -> Iterator[tuple[str, object, object, dict]]:
    """(setting, its value in `method`, in another one, that one's run) for methods of the same kind."""
    centre = study.methods[method]
    for other in study.experiments[experiment].methods:
        key = single_difference(centre, study.methods[other])
        if key and study.methods[other].kind == centre.kind:
            values = (settings_of(one).get(key) for one in (centre, study.methods[other]))
            yield key, *values, {"experiment": experiment, "method": other}


def _by_model(study: Study, experiment: str, method: str) -> Iterator[tuple[str, object, object, dict]]:
    """The same for the models of later experiments on the same sources and reference that have this method too."""
    centre = study.experiments[experiment]
    for other in study.run[study.run.index(experiment) + 1 :]:
        beside = study.experiments[other]
        alike = set(beside.sources) == set(centre.sources) and beside.reference == centre.reference
        models = study.models[centre.model], study.models[beside.model]
        key = single_difference(*models)
        if alike and key and key.split(".")[0] not in ORIGINS and method in beside.methods and not beside.weights_from:
            values = (settings_of(model).get(key) for model in models)
            yield f"model {key}", *values, {"experiment": other, "method": method}


def _centres(study: Study, experiment: str) -> list[str]:
    """The first method of each kind, without those that learn nothing or take another experiment's weights."""
    first: dict[str, str] = {}
    if study.experiments[experiment].weights_from:
        return []
    for method in study.experiments[experiment].methods:
        first.setdefault(study.methods[method].kind, method)
    return [method for kind, method in first.items() if settings_of(study.methods[method]).keys() != {"kind"}]


def _row(centre: dict, varied: str, value: object, run: dict) -> dict:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return {
        **centre,
        "varied": varied,
        "value": f"{value:g}" if number else str(value),
        "centre": run == centre,
        "run": run,
    }


def _place(row: dict) -> tuple[bool, float]:
    try:
        return False, float(row["value"])
    except ValueError:
        return True, 0.0
