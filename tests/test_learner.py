"""Guards of a training step: what is not finite is named and nothing moves; what should train is reached."""

import copy
import dataclasses
import functools

import numpy as np
import pytest
import torch

from scalebio.batching import pack
from scalebio.config import Lisa
from scalebio.errors import UserError
from scalebio.learner import Learner
from scalebio.losses import ResponseLoss
from scalebio.parallel import Parallel

COLLATE = functools.partial(pack, row_length=64)


def learner(tiny, layers=None, **options) -> Learner:
    return Learner("w", copy.deepcopy(tiny[0]), COLLATE, options.pop("parallel", Parallel()), layers, **options)


def parameters(one: Learner) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in one.parameters])


def named(examples):
    return [dataclasses.replace(example, name=f"source s, row {i}") for i, example in enumerate(examples)]


class Spoiled(ResponseLoss):
    """A loss whose value (or only its gradient) is not finite for examples of a certain first answer token."""

    def __init__(self, model, victim: int, only_gradient: bool):
        super().__init__(model)
        self.victim, self.only_gradient = victim, only_gradient

    def forward(self, batch, coefficients):
        objective, losses = super().forward(batch, coefficients)
        hit = {int(i) for i in batch.samples[batch.targets == self.victim]}
        if hit and self.only_gradient:
            zero = (objective * 0).abs()
            objective = objective + torch.sqrt(zero)  # value 0, derivative infinite
        elif hit:
            losses = losses.clone()
            losses[list(hit)] = float("inf")
        return objective, losses


@pytest.mark.parametrize("only_gradient", [False, True])
def test_the_row_at_fault_is_named_and_no_parameter_moves(tiny, make_examples, only_gradient):
    examples = named(make_examples(6, seed=4))
    odd = int(tiny[1].convert_tokens_to_ids("<user>"))
    ids = examples[3].ids.copy()
    ids[np.flatnonzero(examples[3].response)[0]] = odd
    examples[3] = dataclasses.replace(examples[3], ids=ids)
    one = learner(tiny, loss=lambda model: Spoiled(model, odd, only_gradient))
    before = parameters(one)
    what = "gradient" if only_gradient else "loss"
    with pytest.raises(UserError, match=f"step 7: a {what} of w is not finite; rows at fault: source s, row 3\\."):
        one.step(examples, torch.full((6,), 1 / 6), 1e-3, when="step 7")
    assert torch.equal(before, parameters(one)) and not one.optimizer.state


def test_a_layer_the_loss_does_not_reach_is_found(tiny, make_examples):
    one = learner(tiny, Lisa(layers=1, interval=1, embeddings=False))
    cut = one.loss.model.model.layers[2]
    original = cut.forward
    # As reentrant checkpointing does: the output requires a gradient, which then goes nowhere.
    cut.forward = lambda hidden, *args, **kwargs: original(hidden.detach(), *args, **kwargs).requires_grad_()
    one.activate([1])
    with pytest.raises(UserError, match="layer 1 of w should train and has no gradient"):
        one.step(make_examples(4), torch.full((4,), 0.25), 1e-3, when="step 0")


def test_a_sleeping_layer_with_a_gradient_is_found(tiny, make_examples):
    one = learner(tiny, Lisa(layers=1, interval=1))
    one.activate([2])
    one.loss.model.model.layers[0].mlp.up_proj.weight.requires_grad_(True)
    sleeping = list(one.loss.model.model.layers[0].parameters())
    with pytest.raises(UserError, match="layer 0 of w should sleep and has a gradient"):
        original = one._backward

        def backward(*arguments):
            losses = original(*arguments)
            for parameter in sleeping:
                parameter.requires_grad_(False)
            return losses

        one._backward = backward
        one.step(make_examples(4), torch.full((4,), 0.25), 1e-3, when="step 0")


def test_micro_batches_change_rounding_only(tiny, make_examples):
    examples, coefficients = make_examples(10), torch.linspace(0.05, 0.2, 10)
    whole, split = learner(tiny), learner(tiny, parallel=Parallel(micro_batch=3))
    losses = [one.step(examples, coefficients, 1e-3) for one in (whole, split)]
    torch.testing.assert_close(*losses, atol=1e-5, rtol=0)
    torch.testing.assert_close(parameters(whole), parameters(split), atol=1e-5, rtol=0)


def test_clipping_bounds_the_gradient(tiny, make_examples):
    """AdamW is nearly blind to the scale of gradients; what it was given stands in its first moment."""
    examples = make_examples(4)
    norms = []
    for clip in (None, 1e-3):
        one = learner(tiny)
        one.step(examples, torch.ones(4), 1e-3, clip)
        first = [state["exp_avg"] / 0.1 for state in one.optimizer.state.values()]
        norms.append(torch.nn.utils.get_total_norm(first).item())
    assert norms[0] > 0.1 and norms[1] == pytest.approx(1e-3, rel=1e-2)


def test_bytes_of_optimiser_state_stay_flat_over_many_intervals(tiny, make_examples):
    one, examples, sizes = learner(tiny, Lisa(layers=1, interval=1)), make_examples(4), []
    rng = np.random.default_rng(0)
    for _ in range(12):
        one.activate([int(rng.integers(4))])
        one.step(examples, torch.full((4,), 0.25), 1e-3)
        sizes.append(sum(t.numel() * t.element_size() for s in one.optimizer.state.values() for t in s.values()))
        assert all(parameter.grad is None for parameter in one.parameters)
    assert len(set(sizes)) == 1
    kept = learner(tiny, Lisa(layers=1, interval=1), free_states=False)
    for layer in range(4):
        kept.activate([layer])
        kept.step(examples, torch.full((4,), 0.25), 1e-3)
    assert sum(t.numel() * t.element_size() for s in kept.optimizer.state.values() for t in s.values()) > 2 * sizes[0]


def test_evaluation_turns_dropout_off_and_on_again(tiny, make_examples):
    one = learner(tiny, dropout=True)
    assert one.loss.training
    assert torch.equal(one.evaluate(make_examples(5)), one.evaluate(make_examples(5)))
    assert one.loss.training


def test_work_is_shared_out_evenly_and_completely():
    parallel = Parallel(micro_batch=2)
    lengths = [5, 50, 7, 7, 30, 20, 1]
    parts = parallel.share_out(lengths)
    assert sorted(i for part in parts for i in part) == list(range(7)) and all(len(part) <= 2 for part in parts)
    assert len(parts) == 4 and [1] in parts  # the longest row is alone


@pytest.mark.parametrize("layers", [None, Lisa(layers=1, interval=1), Lisa(layers=1, interval=1, embeddings=False)])
def test_recomputing_activations_changes_nothing(tiny, make_examples, layers):
    examples, coefficients = make_examples(6), torch.full((6,), 1 / 6)
    kept, again = learner(tiny, layers), learner(tiny, layers, parallel=Parallel(recompute=True))
    calls = []
    attention = again.loss.model.model.layers[3].self_attn
    attention.register_forward_hook(lambda *arguments: calls.append(1))
    for one in (kept, again):
        if layers:
            one.activate([3])
        one.step(examples, coefficients, 1e-3)
    assert torch.equal(parameters(kept), parameters(again))
    assert len(calls) == 2  # once forward, once more in the backward pass
    again.evaluate(examples)
    assert len(calls) == 3
