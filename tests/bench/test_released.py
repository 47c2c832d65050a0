"""The released step by hand, every rung of the ladder and the engine on the same rows: the same losses."""

import math

import numpy as np
import pytest
import torch

from scalebio.bench import ladder, released, shapes, variants
from scalebio.chat import Example

SHAPE = shapes.SHAPES["minuscule"]
ROWS = [
    Example(np.array([1, 2, 3]), np.array([False, True, True]), source=0),
    Example(np.array([4, 5, 6, 7]), np.array([False, False, False, True]), source=1),
]


class KnownLogits(torch.nn.Module):
    """A model whose token t + 1 has probability 1/2 after even tokens and 1/4 after odd ones, over four outcomes."""

    def forward(self, input_ids, attention_mask, use_cache):
        logits = torch.zeros(*input_ids.shape, 16)
        for row, ids in enumerate(input_ids.tolist()):
            for place, token in enumerate(ids):
                logits[row, place] = -1e9
                chances = [1 / 2, 1 / 4, 1 / 8, 1 / 8] if token % 2 == 0 else [1 / 4, 1 / 4, 1 / 4, 1 / 4]
                for offset, chance in enumerate(chances):
                    logits[row, place, (token + 1 + offset) % 16] = math.log(chance)
        return type("Output", (), {"logits": logits})()


def test_padding_is_to_a_multiple_of_eight_and_off_the_loss():
    batch = released.pad(ROWS)
    assert batch["input_ids"].tolist() == [[1, 2, 3, 0, 0, 0, 0, 0], [4, 5, 6, 7, 0, 0, 0, 0]]
    assert batch["attention_mask"].sum(1).tolist() == [3, 4]
    ignored = released.IGNORED
    assert batch["labels"].tolist() == [[ignored, 2, 3] + 5 * [ignored], 3 * [ignored] + [7] + 4 * [ignored]]


def test_losses_by_hand():
    """Row 0: 2 follows 1 (odd, 1/4), 3 follows 2 (even, 1/2): mean 1.5 ln 2. Row 1: 7 follows 6 (1/2): ln 2."""
    batch, ln2 = released.pad(ROWS), math.log(2)
    weights, sources = torch.tensor([0.25, 0.75]), torch.tensor([0, 1])
    found = released.training_loss(KnownLogits(), batch, weights, sources).item()
    assert found == pytest.approx(0.25 * 1.5 * ln2 + 0.75 * ln2, abs=1e-6)
    # L1 over all three answer tokens: (2 + 1 + 1) ln 2 / 3.
    assert released.validation_loss(KnownLogits(), batch).item() == pytest.approx(4 / 3 * ln2, abs=1e-6)


def test_every_rung_has_the_losses_of_the_one_before():
    arguments = (lambda: shapes.make_model(SHAPE), shapes.typical_layers(SHAPE))
    batches = shapes.make_batches(SHAPE, 2)
    seen = {}
    for rung in ladder.RUNGS:
        step = ladder.LadderStep(rung, SHAPE.longest, *arguments)
        seen[rung] = [step.step(batch) for batch in batches]
    for losses in seen.values():
        np.testing.assert_allclose(losses, seen["no_dropout"], rtol=1e-4)
    engine = variants.engine(SHAPE, batches, embeddings=True)
    for batch, expected in zip(batches, seen["no_dropout"], strict=True):
        step, tokens = engine.step(), sum(len(e.ids) for e in 2 * batch.training + batch.validation)
        # The engine's λ stays near even here; its L1 is a mean over examples, so only L2 can be compared.
        np.testing.assert_allclose([step.L2_u, step.L2_w], expected[:2], rtol=1e-2)
        assert step.tokens == tokens


def test_the_first_step_of_the_engine_sees_the_released_losses():
    batch = shapes.make_batches(SHAPE, 1)
    plain = ladder.LadderStep("no_dropout", SHAPE.longest, lambda: shapes.make_model(SHAPE), [0, 1]).step(batch[0])
    step = variants.engine(SHAPE, batch, embeddings=True).step()
    np.testing.assert_allclose([step.L2_u, step.L2_w], plain[:2], rtol=1e-5)


def test_the_released_step_keeps_states_of_all_layers_and_trains_the_same_parameters_as_ours():
    batch = shapes.make_batches(SHAPE, 1)[0]
    plain = released.ReleasedStep(lambda: shapes.make_model(SHAPE), shapes.typical_layers(SHAPE))
    before = [parameter.clone() for parameter in plain.w.parameters()]
    assert all(torch.equal(p, q) for p, q in zip(plain.u.parameters(), before, strict=True)), "state moved a parameter"
    plain.step(batch)
    assert all(len(optimizer.state) == len(before) for optimizer in plain.optimizers)
    ours = variants.engine(SHAPE, [batch], embeddings=True)
    ours.step()
    trained = [parameter.requires_grad for parameter in plain.w.parameters()]
    assert trained == [parameter.requires_grad for parameter in ours.w.parameters] and not all(trained)
    assert len(ours.w.optimizer.state) == sum(trained)
    frozen = variants.engine(SHAPE, [batch], embeddings=False)
    frozen.step()
    assert 0 < len(frozen.w.optimizer.state) < sum(trained)


def test_rows_have_the_lengths_of_alpaca_and_every_batch_is_its_own():
    shape = shapes.SHAPES["6x256"]
    batches = shapes.make_batches(shape, 60)
    again = shapes.make_batches(shape, 2)
    assert all(
        np.array_equal(a.ids, b.ids)
        for one, other in zip(batches, again, strict=False)
        for a, b in zip(one.training, other.training, strict=True)
    )
    assert not np.array_equal(batches[0].training[0].ids[:30], batches[1].training[0].ids[:30])
    rows = [row for batch in batches for row in batch.training]
    assert [row.source for row in batches[0].training] == [0] * 4 + [1] * 4
    assert 45 <= np.median([row.response.sum() for row in rows]) <= 75
    assert max(len(row.ids) for row in rows) <= shape.longest and min(row.response.sum() for row in rows) >= 1
