"""The ScaleBiO loop: minimise over λ and w, maximise over u, L1(w) + α (L2(λ, w) − L2(λ, u)).

w is the model pulled towards the validation set, u a second copy that only follows the weighted training loss;
where w is better than u on a source, that source helps the validation loss, and its weight rises. One outer step:

1. draw `per_source` examples of every source and a validation batch; u and w see the same training examples;
2. u: one AdamW step on Σ p_i l_i(u), with p = softmax(λ) and l_i the mean loss of source i;
3. w: one AdamW step on (L1(w) + α Σ p_i l_i(w)) / (1 + α);
4. λ: one Adam step on α p_i (d_i − Σ_j p_j d_j), with d_i = l_i(w) − l_i(u), both taken before steps 2 and 3.

With `double_sampling` (ours) step 3 is on Σ p_i l_i(w) + (L1(w) − Σ p_i l'_i(w)) / (1 + α): the same in expectation, but l' is
the mean over other rows than u steps on. Why, and what was measured: docs/method.md.

All three learning rates follow one schedule, a ramp and a cosine to zero, as in the ACL release: without the ramp the
first, nearly random gaps move λ by full-sized Adam steps, and a source that loses then recovers slowly.

Same examples, same LISA layers (or same initial adapters) and no dropout in u and w: each removes noise from d that the
official code has; what the official code does instead is in `semantics`. Sources: paper §2 and Algorithm 1; settings measured in `docs/method.md`.
"""

import dataclasses
import functools
import time
from collections.abc import Callable

import numpy as np
import torch

from scalebio import lisa, schedules
from scalebio.batching import Cycle, FreshHeads, MixedDraws, StratifiedDraws, check_rows, pack
from scalebio.chat import Example
from scalebio.config import Lisa
from scalebio.config_methods import ScaleBiO
from scalebio.errors import UserError
from scalebio.learner import Learner
from scalebio.losses import ResponseLoss
from scalebio.memory import peak_resident_bytes
from scalebio.parallel import Parallel
from scalebio.semantics import resolve
from scalebio.shares import reference_shares, training_shares
from scalebio.streams import stream, torch_seed


@dataclasses.dataclass(frozen=True)
class Step:
    """What one outer step saw, before its updates: `weights` and `gap` (l(w) − l(u), nats) of shape [sources].

    `layers`: the layers u and w train from this step on, where LISA drew new ones. `tokens` counts those of all three passes.
    """

    step: int
    weights: np.ndarray
    gap: np.ndarray
    L1: float
    L2_w: float
    L2_u: float
    seconds: float
    peak_memory_gb: float
    tokens: int = 0
    layers: dict[str, list[int]] | None = None


def weight_gradient(weights: torch.Tensor, gap: torch.Tensor, alpha: float) -> torch.Tensor:
    """Gradient of α (L2(λ, w) − L2(λ, u)) in λ: α p_i (d_i − Σ_j p_j d_j), shape [sources] (chain rule through softmax)."""
    return alpha * weights * (gap - weights @ gap)


def softmax(logits: torch.Tensor) -> torch.Tensor:
    """Weights from logits λ."""
    return torch.softmax(logits, dim=0)


def peak_memory_gb() -> float:
    """Peak memory so far in GB: of the GPU where one is used, else resident memory of this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    return peak_resident_bytes() / 1e9


def copy_state(source: torch.optim.Optimizer, target: torch.optim.Optimizer) -> None:
    """Give `target` the state that `source` has, parameter by parameter in order, and nothing else."""
    target.state.clear()
    for group_from, group_to in zip(source.param_groups, target.param_groups, strict=True):
        for parameter_from, parameter_to in zip(group_from["params"], group_to["params"], strict=True):
            if parameter_from in source.state:
                target.state[parameter_to] = {key: value.clone() for key, value in source.state[parameter_from].items()}


class Bilevel:
    """One run of the loop; `step()` advances it, `weights` is where it stands.

    `base`: with adapters (`lora.attach`), these train and its weights are there once for both u and w;
    `by_source`: training examples of each source; `names`: the sources' names, for messages;
    `loss` makes a module of a model that maps a batch, made by `collate`, and coefficients to (Σ c_i l_i, l).
    """

    def __init__(
        self,
        base: torch.nn.Module,
        by_source: list[list[Example]],
        validation: list[Example],
        settings: ScaleBiO,
        seed: int,
        row_length: int,
        layers: Lisa | None = None,
        parallel: Parallel | None = None,
        names: list[str] | None = None,
        loss: Callable[[torch.nn.Module], torch.nn.Module] = ResponseLoss,
        collate: Callable[[list], object] | None = None,
    ):
        self.settings, self.seed, self.lisa, self.validation = settings, seed, layers, validation
        self.semantics = semantics = resolve(settings.semantics, settings.differences)
        self.count = len(by_source)
        needed = settings.per_source if semantics.draws == "stratified" else 1
        check_rows(names or [f"number {i}" for i in range(self.count)], by_source, needed, validation)
        # The list an example stands in is its source, whatever it says itself.
        by_source = [
            [dataclasses.replace(example, source=i) for example in examples] for i, examples in enumerate(by_source)
        ]
        total = len(lisa.find_layers(base)) if layers else 0
        parallel = parallel or Parallel()
        options = {
            "collate": collate or functools.partial(pack, row_length=row_length),
            "parallel": parallel,
            "layers": layers,
            "weight_decay": semantics.model_decay,
            "dropout": semantics.dropout,
            "free_states": semantics.free_states,
            "loss": loss,
        }
        # The base itself serves as u, so that only one copy is made; of its adapters alone, if it has some.
        twin = parallel.twin(base)
        self.u, self.w = Learner("u", base, **options), Learner("w", twin, **options)
        self.draws = self._draws(by_source)
        self.validation_draws = Cycle(len(validation), stream(seed, "validation batches"))
        drawn_for = {"uw": ""} if semantics.same_layers else {"u": " of u", "w": " of w"}
        self.layer_draws = {
            models: lisa.LayerDraws(total, layers.layers, layers.interval, stream(seed, f"lisa layers{suffix}"))
            for models, suffix in (drawn_for.items() if layers else ())
        }
        self.logits = torch.zeros(self.count, dtype=torch.float64)
        self.weight_optimizer = torch.optim.AdamW(
            [self.logits],
            lr=settings.weight_learning_rate,
            betas=(0.9, settings.weight_beta2),
            weight_decay=semantics.weight_decay,
        )
        self.done = 0

    def _draws(self, by_source: list[list[Example]]) -> StratifiedDraws | MixedDraws:
        rng, size = stream(self.seed, "training batches"), sum(map(len, by_source))
        batch = self.settings.per_source * self.count
        match self.semantics.draws:
            case "stratified":
                return StratifiedDraws(by_source, self.settings.per_source, rng)
            case "by_size":
                return MixedDraws(by_source, batch, Cycle(size, rng))
            case "fresh_micro_batches":
                return MixedDraws(by_source, batch, FreshHeads(size, self.semantics.micro_batch, rng))

    @property
    def weights(self) -> np.ndarray:
        """Current weights, shape [sources], summing to 1."""
        return softmax(self.logits).numpy()

    def step(self) -> Step:
        """One outer step. Returns what it saw before updating. Raises UserError as `Learner.step`."""
        start = time.perf_counter()
        settings, semantics, k = self.settings, self.semantics, self.done
        when, factor = f"step {k}", self._factor(k)
        resynced = bool(settings.resync_every and k and k % settings.resync_every == 0)
        if resynced:
            self._resync()
        layers = self._activate(k)
        examples = self.draws.next()
        held_out = [self.validation[i] for i in self.validation_draws.take(settings.validation_batch)]
        sources = np.array([example.source for example in examples])
        shares = training_shares(examples, semantics)
        reference = reference_shares(held_out, semantics)
        p = softmax(self.logits)
        weighted = p.numpy()[sources] * shares
        scale = 1 / (1 + settings.alpha) if semantics.normalised_step else 1.0
        rate, clip = settings.learning_rate * factor, settings.alpha if semantics.clip else None

        self._seed_dropout(k, "u")
        of_u = torch.from_numpy(weighted * (1.0 if semantics.normalised_step else settings.alpha))
        losses_u = self.u.step(examples, of_u, rate, clip, when).numpy()
        # One packed batch for all of w's terms: one forward and one backward pass.
        self._seed_dropout(k, "w")
        kept, others, forgone = settings.alpha * weighted * scale, [], np.empty(0)
        if settings.double_sampling:
            kept, others = weighted, self.draws.next()
            forgone = p.numpy()[[example.source for example in others]] * training_shares(others, semantics) * scale
        of_w = torch.from_numpy(np.concatenate([kept, reference * scale, -forgone]))
        losses = self.w.step(examples + held_out + others, of_w, rate, clip, when).numpy()
        losses_w, losses_1, _ = np.split(losses, [len(examples), len(examples) + len(held_out)])

        source_u, source_w = (
            np.bincount(sources, shares * losses, minlength=self.count) for losses in (losses_u, losses_w)
        )
        gap = source_w - source_u
        # Where u and w are equal the gap is rounding error, which Adam would blow up to a full-sized step.
        if not semantics.wait or (k and not resynced):
            self.logits.grad = weight_gradient(p, torch.from_numpy(gap), settings.alpha)
            self.weight_optimizer.param_groups[0]["lr"] = settings.weight_learning_rate * factor
            self.weight_optimizer.step()
        self.done += 1
        return Step(
            step=k,
            weights=p.numpy(),
            gap=gap,
            L1=float(reference @ losses_1),
            L2_w=float(p.numpy() @ source_w),
            L2_u=float(p.numpy() @ source_u),
            seconds=time.perf_counter() - start,
            peak_memory_gb=peak_memory_gb(),
            tokens=sum(len(example.ids) for example in [*examples, *examples, *held_out, *others]),
            layers=layers,
        )

    def _factor(self, k: int) -> float:
        """The learning rates' common factor at step k."""
        steps = self.settings.steps
        match self.semantics.schedule:
            case "ramp":
                return schedules.ramp_cosine(k, steps, self.settings.ramp)
            case "cosine":
                return schedules.warmup_cosine(k, steps, 0)
            case "warmup":
                return schedules.warmup_cosine(k, steps, round(0.03 * steps))

    def _activate(self, k: int) -> dict[str, list[int]] | None:
        """Draw and activate layers where an interval starts; returns them by model."""
        layers = {}
        for models, draws in self.layer_draws.items():
            if (drawn := draws.at(k)) is not None:
                layers |= dict.fromkeys(models, drawn)
        for name, drawn in layers.items():
            {"u": self.u, "w": self.w}[name].activate(drawn)
        return layers or None

    def _resync(self) -> None:
        """w forgets the lead it won while λ was wrong (ours; docs/method.md, "resync")."""
        with torch.no_grad():
            for target, source in zip(self.w.parameters, self.u.parameters, strict=True):
                target.copy_(source)
        copy_state(self.u.optimizer, self.w.optimizer)

    def _seed_dropout(self, k: int, model: str) -> None:
        # By step and model, so that nothing of torch's global state needs to be in a checkpoint.
        if self.semantics.dropout:
            torch.manual_seed(torch_seed(self.seed, "dropout", model, k))

    # --- checkpoints ---

    def state(self) -> tuple[dict[str, torch.Tensor], dict]:
        """Tensors and plain facts from which `load` goes on bit for bit."""
        tensors, facts = {"logits": self.logits}, {"done": self.done}
        adam = self.weight_optimizer.state.get(self.logits, {})
        tensors |= {f"logits:{key}": value for key, value in adam.items()}
        for name, learner in (("u", self.u), ("w", self.w)):
            held, facts[name] = learner.state()
            tensors |= {f"{name}/{key}": value for key, value in held.items()}
        facts["draws"], facts["validation_draws"] = self.draws.state(), self.validation_draws.state()
        facts["layer_draws"] = {models: draws.state() for models, draws in self.layer_draws.items()}
        return tensors, facts

    def load(self, tensors: dict[str, torch.Tensor], facts: dict) -> None:
        """Take up a `state`."""
        self.done = facts["done"]
        self.logits.copy_(tensors["logits"])
        if adam := {key.removeprefix("logits:"): tensors[key] for key in tensors if key.startswith("logits:")}:
            self.weight_optimizer.state[self.logits] = adam
        for name, learner in (("u", self.u), ("w", self.w)):
            start = f"{name}/"
            learner.load({k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}, facts[name])
        self.draws.load(facts["draws"])
        self.validation_draws.load(facts["validation_draws"])
        for models, draws in self.layer_draws.items():
            draws.load(facts["layer_draws"][models])


def learn(bilevel: Bilevel) -> list[Step]:
    """Run the loop to its end without checkpoints; what each step saw. The result is `bilevel.weights`."""
    return [bilevel.step() for _ in range(bilevel.done, bilevel.settings.steps)]


def prune(weights: np.ndarray, below: float) -> np.ndarray:
    """Set weights under `below` to zero and renormalise, shape [sources] (ours; docs/method.md, "resync").

    Raises UserError if nothing would be left.
    """
    kept = np.where(weights < below, 0.0, weights)
    if not kept.any():
        raise UserError(f"prune_below = {below} would remove every source; keep it well under 1 / number of sources.")
    return kept / kept.sum()
