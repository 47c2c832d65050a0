"""What a job computes: tokens that pass through a model, and how many copies of the model it holds. Counted from the study's settings.

Every example counts as `max_length` tokens, so all counts are upper bounds: how long rows are is known only after tokenising.
"""

import math
from dataclasses import dataclass

from scalebio.config import Experiment, Study
from scalebio.config_methods import (
    DoReMi,
    ExactBilevel,
    Fixed,
    GradientAlignment,
    GradientMatching,
    Less,
    Method,
    RegMix,
    RhoLoss,
    ScaleBiO,
)

# Questions of the benchmarks whose number is published, by the hub's id.
PUBLISHED_QUESTIONS = {"openai/gsm8k": 1319, "HuggingFaceH4/MATH-500": 500}
MTBENCH_QUESTIONS = 80
TURNS = 2
# Times that fine-tuning looks at all validation rows, at most (finetune.py).
EVALUATIONS = 6


@dataclass(frozen=True)
class Work:
    """Tokens that are trained on (forward and backward), only looked at, and generated; `models`: copies that are held.

    `gradients`: gradients of what trains that are held beside the usual one; `check_gradients`: the same for a check afterwards, with
    one model. `batch`: answers generated side by side. `unknown`: why no number can be given; the counts are then zero.
    """

    trained: int = 0
    forward: int = 0
    generated: int = 0
    models: int = 1
    gradients: int = 0
    check_gradients: int = 0
    batch: int = 1
    unknown: str = ""


def learning(study: Study, experiment: Experiment, method: Method, rows: dict[str, int | None]) -> Work:
    """Work of finding weights by `method`. `rows`: of each source, None where not known; only some methods ask."""
    if isinstance(method, Fixed):
        return Work(models=0)
    model = study.models[experiment.model]
    sources, length = len(experiment.sources), model.max_length
    reference = study.references[experiment.reference]
    match method:
        case ScaleBiO():
            batch = sources * method.per_source
            passes = 3 if method.double_sampling else 2
            steps = method.steps * (passes * batch + method.validation_batch)
            # As `confirmation.confirm_run`: where the model is split no check is made.
            checked = method.check_steps and not model.hardware.shard
            if checked:
                check = sources * max(method.per_source, 2) + 3 * method.validation_batch
                steps += min(method.check_steps, method.steps) * check
            return Work(trained=steps * length, models=2, check_gradients=sources + 2 if checked else 0)
        case GradientMatching() | GradientAlignment():
            batch = sources * method.per_source + method.validation_batch
            return Work(trained=method.steps * batch * length, gradients=sources + 2)
        case DoReMi():
            batch = method.steps * sources * method.per_source * length
            return Work(trained=2 * batch, forward=2 * batch, models=2)
        case RegMix():
            trained = method.runs * method.steps * method.batch
            return Work(trained * length, method.runs * reference.validation_rows * length, models=2)
        case RhoLoss():
            large = method.steps * sources * method.per_source
            trained = method.reference_steps * method.reference_batch + math.ceil(large * method.keep)
            seen = _training_rows(experiment, rows)
            if seen is None:
                return Work(models=2, unknown=_ROWS_UNKNOWN)
            return Work(trained * length, (seen + large) * length, models=2)
        case Less():
            seen = _training_rows(experiment, rows)
            if seen is None:
                return Work(unknown=_ROWS_UNKNOWN)
            scored = method.epochs * (seen + reference.validation_rows)
            return Work(trained=(math.ceil(method.epochs * method.share * seen) + scored) * length)
        case ExactBilevel():
            if method.hypergradient == "implicit":
                return Work(models=14, unknown="how often conjugate gradients go through the model is not known before")
            # Each inner step is differentiated a second time, which costs about two more passes (ours).
            inner = 3 * method.inner_steps * sources * method.per_source
            tokens = method.steps * (inner + method.validation_batch) * length
            return Work(trained=tokens, models=method.inner_steps + 8)


_ROWS_UNKNOWN = "rows of the sources are not known before they are fetched; `rows` or `pool_rows` would say"


def _training_rows(experiment: Experiment, rows: dict[str, int | None]) -> int | None:
    """Rows that learning weights sees; None if that is not known."""
    counts = []
    for name in experiment.sources:
        bounds = [count for count in (rows.get(name), experiment.pool_rows) if count is not None]
        if not bounds:
            return None
        counts.append(min(bounds))
    return sum(counts)


def warming(study: Study, model: str) -> Work:
    """Work of training a base before weights are learned."""
    warm_up = study.models[model].warm_up
    return Work(trained=warm_up.steps * warm_up.batch * study.models[model].max_length)


def finetuning(study: Study, experiment: Experiment) -> Work:
    """Work of training the final model, and of looking at the validation rows on the way."""
    recipe, length = study.finetuning, study.models[experiment.model].max_length
    rows = experiment.mixture_rows or recipe.rows
    held_out = study.references[experiment.reference].validation_rows
    rows += held_out if recipe.append_validation else 0
    return Work(trained=rows * recipe.epochs * length, forward=EVALUATIONS * held_out * length)


def evaluating(study: Study, experiment: Experiment) -> Work:
    """Work of the test loss, and of answers where accuracy is asked for."""
    length, accuracy = study.models[experiment.model].max_length, study.evaluations.accuracy
    tested = study.references[experiment.reference].test_rows
    if "accuracy" not in experiment.evaluate:
        return Work(forward=tested * length)
    asked = min(accuracy.rows, tested)
    prompts = asked * (length - accuracy.max_new_tokens)
    return Work(forward=tested * length + prompts, generated=asked * accuracy.max_new_tokens, batch=accuracy.batch)


def solving(study: Study, experiment: Experiment) -> Work:
    """Work of answering the questions of GSM8K and MATH."""
    math_ = study.evaluations.math
    asked = 0
    for name, benchmark in math_.benchmarks.named.items():
        known = PUBLISHED_QUESTIONS.get(benchmark.hub.id) if benchmark.hub else None
        counts = [count for count in (benchmark.limit, known) if count is not None]
        if not counts:
            return Work(unknown=f"how many questions `{name}` has is not known before; `limit` would say")
        asked += min(counts)
    length = math_.max_length or study.models[experiment.model].max_length
    prompts = asked * (length - math_.max_new_tokens)
    return Work(forward=prompts, generated=asked * math_.max_new_tokens, batch=math_.batch)


def questions(study: Study, experiment: Experiment) -> int:
    """How many MT-Bench questions each model is asked; of those made from test rows, two to a question, the most there can be."""
    if study.evaluations.mtbench.from_test_set is None:
        return MTBENCH_QUESTIONS
    return study.references[experiment.reference].test_rows // 2


def answering(study: Study, experiment: Experiment) -> Work:
    """Work of answering MT-Bench's questions in two turns."""
    mtbench, asked = study.evaluations.mtbench, questions(study, experiment) * TURNS
    length = mtbench.max_length or study.models[experiment.model].max_length
    prompts = asked * (length - mtbench.max_new_tokens)
    return Work(forward=prompts, generated=asked * mtbench.max_new_tokens, batch=mtbench.batch)
