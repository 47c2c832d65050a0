"""What is measured on a fine-tuned model: loss on test rows, and answers scored by the task's own checker."""

from collections import defaultdict

from scalebio.chat import encode_all
from scalebio.config_evaluations import Accuracy
from scalebio.errors import UserError
from scalebio.generation import generate
from scalebio.generators import score_answer
from scalebio.losses import mean_losses
from scalebio.records import Record
from scalebio.streams import stream


def by_category(records: list[Record], values: list[float]) -> dict[str, float]:
    """Mean value per record category, in order of first appearance."""
    groups = defaultdict(list)
    for record, value in zip(records, values, strict=True):
        groups[record.category or "all"].append(value)
    return {category: sum(group) / len(group) for category, group in groups.items()}


def test_loss(model, tokenizer, test: list[Record], max_length: int) -> dict:
    """Mean over test rows of each one's mean response-token loss, in nats, overall and by category."""
    losses = mean_losses(model, encode_all(test, tokenizer, max_length), max_length).tolist()
    return {
        "test_loss": sum(losses) / len(losses),
        "n_test": len(losses),
        "test_loss_by_category": by_category(test, losses),
    }


def accuracy(model, tokenizer, test: list[Record], settings: Accuracy, max_length: int) -> dict:
    """Greedy answers to a seeded sample of test questions that have a checker; the score is the checker's, 0 to 1.

    Full marks only: some checkers give part marks, which would not be an accuracy.
    Raises UserError if no test row has a checker.
    """
    checkable = [record for record in test if record.checker]
    if not checkable:
        raise UserError(
            "`evaluate: [accuracy]` is asked for, but no test row has a checker; only rows made by a "
            "generator have one, and not those of every task. Remove `accuracy` from the experiment's `evaluate`."
        )
    # The same questions for every method: the sample depends on no run's seed but on the test set alone.
    chosen = sorted(stream(0, "accuracy questions").permutation(len(checkable))[: settings.rows].tolist())
    asked = [checkable[i] for i in chosen]
    answers = generate(
        model,
        tokenizer,
        [record.messages[:-1] for record in asked],
        max_new_tokens=settings.max_new_tokens,
        batch_size=settings.batch,
        temperatures=None,
        seeds=None,
        max_length=max_length,
    )
    right = [
        float(score_answer(record.checker, answer.strip()) == 1) for record, answer in zip(asked, answers, strict=True)
    ]
    return {
        "accuracy": sum(right) / len(right),
        "accuracy_n": len(right),
        "accuracy_by_category": by_category(asked, right),
    }
