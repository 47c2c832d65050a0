"""Learn one weight per source with one method and one seed.

Settings: experiment, method (name), settings (the method's section), seed, sources (names in order), pool_rows,
max_length, lisa, lora (of these two at most one), for the oracle expected (source → share), and
validation_bootstrap (true: validation rows are drawn again by the seed).
"""

from dataclasses import asdict
from pathlib import Path

from scalebio.cli import claim_training, expected, first_process, run, training_parser


def main() -> None:
    """Read the pool, run the method, write weights.json, trajectory.parquet and row_scores.parquet."""
    options = training_parser(__doc__)
    options.add_argument("--model", required=True, help="provenance.json in the base model's folder")
    options.add_argument("--train", required=True)
    options.add_argument("--validation", required=True)
    options.add_argument("--start", help="weights.json to start from; left out: equal weights")
    options.add_argument("--output", required=True, help="weights.json")
    options.add_argument("--trajectory", required=True, help="trajectory.parquet")
    options.add_argument("--row-scores", required=True, help="row_scores.parquet")
    arguments = options.parse_args()
    claim_training(arguments, arguments.output)

    import numpy as np
    import pandas as pd
    from pydantic import TypeAdapter

    from scalebio import records, row_scores, warm_start, weighting
    from scalebio.config import Lisa, Lora
    from scalebio.config_methods import Method
    from scalebio.files import read_json, replacing, write_json
    from scalebio.progress import Progress
    from scalebio.provenance import provenance, write_beside

    settings = arguments.settings
    names = settings["sources"]
    method = TypeAdapter(Method).validate_python(settings["settings"])
    lisa = Lisa.model_validate(settings["lisa"]) if settings.get("lisa") else None
    adapters = Lora.model_validate(settings["lora"]) if settings.get("lora") else None
    pool = records.group_by_source(records.read(arguments.train), names)
    by_source = {name: rows[: settings.get("pool_rows")] for name, rows in pool.items()}
    inputs = {"model": arguments.model, "train": arguments.train, "validation": arguments.validation}
    inputs |= {"start": arguments.start} if arguments.start else {}
    earlier = read_json(arguments.start) if arguments.start else None
    start = warm_start.shares(earlier, names, arguments.start) if earlier else None
    used = {}

    def encode(rows: list, index: dict | None = None) -> list:
        from scalebio.chat import encode_all

        problem.model  # noqa: B018 the tokenizer comes with it, and a method may ask for rows first
        return encode_all(rows, used["tokenizer"], settings["max_length"], index)

    def load_model():
        from scalebio import base_models, lora

        # Its preflight takes seconds, loading a model minutes.
        load = base_models.load_empty if problem.parallel.receives else base_models.load
        model, used["tokenizer"] = load(Path(arguments.model).parent)
        return lora.attach(model, adapters, settings["seed"])

    def load_parallel():
        from scalebio.parallel import Parallel
        from scalebio.preflight import check_expected

        parallel = Parallel(arguments.shard, arguments.offload, arguments.micro_batch, arguments.recompute)
        check_expected(expected(arguments), Path(arguments.output).parent, parallel)
        used["parallel"] = parallel
        return parallel

    def load_checkpoints(parallel):
        from scalebio.checkpoints import Checkpoints

        return Checkpoints(
            arguments.checkpoints,
            provenance(settings, inputs),
            parallel,
            arguments.checkpoint_seconds,
            arguments.minutes,
        )

    label = f"weights {settings['experiment']}/{settings['method']}/seed{settings['seed']}"
    problem = weighting.Problem(
        sources=names,
        load_model=load_model,
        load_by_source=lambda: [encode(by_source[name], {name: i}) for i, name in enumerate(names)],
        load_validation=lambda: encode(records.read(arguments.validation)),
        row_length=settings["max_length"],
        layers=lisa,
        sizes=[len(pool[name]) for name in names],
        expected=settings.get("expected"),
        start=start,
        bootstrap=settings["seed"] if settings.get("validation_bootstrap") else None,
        load_parallel=load_parallel,
        load_checkpoints=load_checkpoints,
        progress=Progress(label) if first_process() else (lambda *seen: None),
    )
    outcome = weighting.learn(problem, method, settings["seed"])
    if not np.isclose(outcome.weights.sum(), 1):
        raise AssertionError(f"weights sum to {outcome.weights.sum()}, not 1")
    if not first_process():
        return

    started = {"started_from": warm_start.record(earlier, start, outcome.weights)} if start else {}
    if start:
        moved = started["started_from"]["total_variation"]
        print(f"{label}: started from {arguments.start}; {moved:.1%} of the mixture moved since")
    columns = {"step": "int64", "source": "string", "quantity": "string", "value": "float64"}
    with replacing(arguments.trajectory) as temporary:
        pd.DataFrame(outcome.trajectory, columns=list(columns)).astype(columns).to_parquet(temporary, index=False)
    row_scores.write(arguments.row_scores, names, outcome.row_scores)
    # Not in weights.json: the trajectory holds seconds and memory, and the same run shall give the same weights.json.
    write_beside(arguments.trajectory, settings, inputs)
    outputs = {"row_scores": arguments.row_scores}
    ran = {"device": str(used["parallel"].device), "world_size": used["parallel"].world} if "parallel" in used else {}
    write_json(
        arguments.output,
        {
            "weights": dict(zip(names, outcome.weights.tolist(), strict=True)),
            "method": settings["method"],
            "seed": settings["seed"],
            "cost": asdict(outcome.spent),
            **outcome.extra,
            **started,
            "provenance": provenance(settings, inputs, used.get("tokenizer"), outputs, **ran),
        },
    )
    if "parallel" in used:
        problem.checkpoints.remove()


if __name__ == "__main__":
    run(main)
