"""What no table of the catalogue holds: what was asked and found, where the rows come from, and what made the results."""

from collections.abc import Iterable
from pathlib import Path

from markupsafe import Markup

from scalebio.claims import NOT_RUN
from scalebio.claims import page as claims
from scalebio.files import read_json
from scalebio.report.rendering import literal, table
from scalebio.tables import tidy
from scalebio.tables.readable import MISSING, name, number, span, strong
from scalebio.tables.summary import verdicts

SHORT_HASH = 12


def question(settings: dict) -> Markup:
    """What every experiment asks: sources, validation rows, model, methods, seeds."""
    rows = []
    for asked in settings["experiments"]:
        reference = settings["references"][asked["reference"]]
        rows.append(
            [
                name(asked["name"]),
                _names(asked["sources"]),
                f"{_names(reference['validation'])}, {reference['validation_rows']} rows",
                f"{name(asked['model'])}: {literal(_model(settings['models'][asked['model']]))}",
                _names(asked["methods"]),
                str(len(asked["seeds"])),
            ]
        )
    return table(["experiment", "weigh these sources", "to do well on", "with the model", "by", "seeds"], rows)


def _model(model: dict) -> str:
    scratch = model.get("scratch")
    if scratch:
        what = f"a Llama from scratch, {scratch['layers']} layers of width {scratch['hidden_size']}"
    else:
        what = model.get("path") or "@".join(str(part) for part in model["hub"].values() if part)
    trains = next((f"{key.upper()} trains" for key in ("lisa", "lora") if model.get(key)), "all parameters train")
    return f"{what}; {trains}"


def _names(names: Iterable[str]) -> str:
    return " ".join(name(item) for item in names)


def verdict_table(settings: dict) -> Markup:
    """One line an experiment and learning method: test loss against the baseline, heaviest source, the check's verdict."""
    weights = tidy.read_csv(settings["tables"]["weights"]["path"], [])
    gains = {}
    if compared := settings["tables"].get("method_comparison"):
        frame = tidy.read_csv(compared["path"], [])
        gains = {(row.experiment, row.method): row for row in frame.itertuples()}
    rows = []
    for (experiment, method), lines in weights.groupby(["experiment", "method"], sort=False):
        gain = gains.get((experiment, method))
        if gain is not None and not gain.verdict:  # the baseline, which the others are held against
            continue
        if gain is None:
            cells = [name(experiment), name(method), *[MISSING] * 3]
        else:
            interval = span(gain.difference_low, gain.difference_high, sign=True)
            cells = [name(experiment), name(method), strong(gain.verdict), number(gain.difference, sign=True), interval]
        means = lines.groupby("source", sort=False)["weight"].mean()
        heaviest = means.idxmax()
        even = means.max() - means.min() < 1e-9
        seeds = lines[lines["source"] == heaviest]["weight"]
        cells.append("even" if even else f"{name(heaviest)} {number(means.max(), 3)}")
        cells.append(MISSING if even or len(seeds) < 2 else span(seeds.min(), seeds.max(), 3))
        rows.append([*cells, verdicts(lines.drop_duplicates("seed")["verdict"])])
    header = ["experiment", "method", "verdict", "test loss minus baseline's", "95 % interval"]
    return table([*header, "heaviest source", "its weight by seed", "weights checked"], rows)


def from_scratch(settings: dict) -> str:
    """A warning, where models that know nothing learned the weights; else nothing."""
    made = dict.fromkeys(
        one["model"] for one in settings["experiments"] if settings["models"][one["model"]].get("scratch")
    )
    if not made:
        return ""
    return f" {', '.join(made)}: a model from scratch. Its weights show how the method works; decide about data with a model of your own."


def unconfirmed(settings: dict) -> Markup | None:
    """One line an experiment and method whose weights a check did not confirm on some seeds, with what it found; else None."""
    found: dict[tuple[str, str], list[dict]] = {}
    for path in settings["runs"]:
        check = read_json(path).get("check")
        if check and check["verdict"] != "confirmed":
            experiment, _, method = Path(path).parts[-5:-2]
            found.setdefault((experiment, method), []).append(check)
    rows = [
        [name(experiment), name(method), str(len(checks)), "; ".join(_reasons(checks))]
        for (experiment, method), checks in found.items()
    ]
    return table(["experiment", "method", "seeds", "what the check found"], rows) if rows else None


def _reasons(checks: list[dict]) -> Iterable[str]:
    """Each reason once; of measured mismatches their range."""
    yield from dict.fromkeys(literal(check["reason"]) for check in checks if check["ratio"] is None)
    if ratios := [check["ratio"] for check in checks if check["ratio"] is not None]:
        between = number(ratios[0], 2) if len(ratios) == 1 else span(min(ratios), max(ratios), 2)
        yield f"mismatch is {between} of the way from the best match to equal weights, and up to {checks[0]['threshold']:g} is right"


def sources(settings: dict) -> Markup:
    """Every source that the study reads: rows, origin, licence, what was left out or spoiled, and the hash of its rows."""
    used_by = _used_by(settings)
    rows = []
    for source, manifest in _read(settings["sources"]):
        left_out = {key.removeprefix("dropped_"): manifest[key] for key in manifest if key.startswith("dropped_")}
        cells = [name(source), used_by.get(source, MISSING), f"{manifest['rows']:,}", _origin(manifest["origin"])]
        cells.append(literal(manifest["licence"]))
        cells.append(", ".join(f"{count:,} {reason}" for reason, count in left_out.items() if count) or MISSING)
        cells.append(f"{manifest['corrupted_rows']:,}" if manifest["corrupted_rows"] else MISSING)
        rows.append([*cells, name(manifest["sha256"][:SHORT_HASH])])
    return table(["source", "used for", "rows", "origin", "licence", "left out", "spoiled", "sha256 of rows"], rows)


def _read(listed: list[dict]) -> Iterable[tuple[str, dict]]:
    return ((entry["name"], read_json(entry["path"])) for entry in listed)


def _used_by(settings: dict) -> dict[str, str]:
    """Training, or reference rows, or both."""
    used: dict[str, dict] = {}
    for asked in settings["experiments"]:
        reference = settings["references"][asked["reference"]]
        for role, names in (
            ("training", asked["sources"]),
            ("validation", reference["validation"]),
            ("test", reference.get("test") or reference["validation"]),
        ):
            for source in names:
                used.setdefault(source, {})[role] = None
    return {source: ", ".join(roles) for source, roles in used.items()}


def _origin(origin: dict) -> str:
    if origin["kind"] == "hub":
        return f"hub {name(origin['id'])} at {name(str(origin['revision'])[:SHORT_HASH])}"
    if origin["kind"] == "file":
        return f"file {name(origin['path'])}"
    return f"made by {name(origin['generator']['kind'])}"


def tests_claims(settings: dict) -> bool:
    """Whether the study ran what any claim of the paper is tested on."""
    verdict = claims.read(settings["tables"]["claims"]["path"])["verdict"]
    return not verdict.str.startswith(NOT_RUN).all()


def pools(settings: dict) -> Markup:
    """What is left of the sources in each experiment: training, validation and test rows, and leaked prompts."""
    rows = []
    for experiment, pool in _read(settings["pools"]):
        counts = [f"{sum(pool['rows'][part].values()):,}" for part in ("train", "validation", "test")]
        leaked = sum(pool["leakage"]["same_prompt"].values())
        outcome = {"drop": "left out of training", "allow": "left in training: a control"}
        found = f"{leaked:,}, {outcome.get(pool['leakage']['action'], 'refused')}" if leaked else "none"
        rows.append([name(experiment), *counts, found])
    header = ["experiment", "training rows", "validation rows", "test rows", "training rows whose prompt is tested"]
    return table(header, rows)


def provenance(settings: dict) -> Markup:
    """What made the weights of all runs, one line a fact; more than one value where runs differ."""
    found: dict[str, dict[str, int]] = {}
    for path in settings["runs"]:
        for fact, value in _facts(read_json(path)["provenance"]):
            found.setdefault(fact, {}).setdefault(value, 0)
            found[fact][value] += 1
    rows = [
        [fact, "; ".join(_of_runs(value, runs, sum(values.values())) for value, runs in values.items())]
        for fact, values in found.items()
    ]
    return table(["what", f"weights of {len(settings['runs'])} runs"], rows)


def _of_runs(value: str, runs: int, of: int) -> str:
    return name(value) if runs == of else f"{name(value)} ({runs} of {of})"


def _facts(facts: dict) -> Iterable[tuple[str, str]]:
    yield "lock file of all packages (sha256)", str(facts["lock_sha256"])[:SHORT_HASH]
    for library, version in facts["libraries"].items():
        yield literal(library), version
    yield "Python", facts["python"]
    yield "machine", facts["machine"]
    # A method that learns nothing states neither.
    for fact, shown in (("device", "device"), ("world_size", "processes")):
        if fact in facts:
            yield shown, str(facts[fact])
    for file, digest in facts["code"].items():
        # Of our code, the entry points: what they import follows from the commit that holds them.
        if "/" not in file:
            yield f"code {name(file)} (sha256)", digest[:SHORT_HASH]


def warm_starts(settings: dict) -> Markup | None:
    """One line a run that started from weights learned before; None where none did."""
    rows = []
    for path in settings["runs"]:
        learned = read_json(path)
        if started := learned.get("started_from"):
            moved = max(started["moved"], key=lambda source: abs(started["moved"][source]))
            cells = [_run(path, settings), name(learned["provenance"]["inputs"]["start"]["path"])]
            cells += [_names(started["added"]) or MISSING, _names(started["removed"]) or MISSING]
            rows.append(
                [
                    *cells,
                    f"{started['total_variation']:.1%}",
                    f"{name(moved)} {number(started['moved'][moved], 3, sign=True)}",
                ]
            )
    header = ["run", "started from", "new sources", "gone", "of the mixture moved since", "the most"]
    return table(header, rows) if rows else None


def _run(path: str, settings: dict) -> str:
    return name(Path(path).parent.as_posix().removeprefix(f"{settings['results']}/"))


def run_table(settings: dict) -> Markup:
    """One line a run: hashes of its settings and inputs."""
    rows = []
    for path in settings["runs"]:
        made = read_json(path)["provenance"]
        hashes = ", ".join(f"{role} {name(file['sha256'][:SHORT_HASH])}" for role, file in made["inputs"].items())
        rows.append([_run(path, settings), name(made["settings_sha256"][:SHORT_HASH]), hashes])
    return table(["run", "settings (sha256)", "inputs (sha256)"], rows)
