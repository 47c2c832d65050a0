"""One model in training: a step on Σ c_i l_i over a global batch, by all parameters, LISA's layers or adapters.

u, w and the final model all train through here, on one process or many. A step leaves nothing half done: a loss or gradient that is not finite
stops it before any parameter has moved, and names the rows at fault.
"""

from collections.abc import Callable

import torch

from scalebio import lisa, lora
from scalebio.config import Lisa
from scalebio.errors import UserError
from scalebio.losses import ResponseLoss, evaluate
from scalebio.parallel import Parallel, like, local, whole

STATES = ("exp_avg", "exp_avg_sq")


class Learner:
    """A loss module, its AdamW and its active layers. `name` is for messages, `collate` turns examples into a batch.

    Of a model with adapters (`lora.attach`) these train and nothing else; `adapter_dropout` switches their dropout on.
    `parameters` are those that may train.
    """

    def __init__(
        self,
        name: str,
        model: torch.nn.Module,
        collate: Callable[[list], object],
        parallel: Parallel,
        layers: Lisa | None = None,
        weight_decay: float = 0.0,
        dropout: bool = False,
        free_states: bool = True,
        loss: Callable[[torch.nn.Module], torch.nn.Module] = ResponseLoss,
        adapter_dropout: bool = False,
    ):
        self.name, self.collate, self.parallel = name, collate, parallel
        self.lisa, self.free_states = layers, free_states
        self.loss = parallel.prepare(loss(model))
        # `_backward` keeps what ResponseLoss asks for; a class of its own may do something with the objective.
        self.loss.in_place = type(self.loss) is ResponseLoss
        # Off unless a release is reproduced: with it the losses of two equal models differ.
        self.dropout, self.adapter_dropout = dropout, adapter_dropout
        self._set_training()
        self.parameters = list(lora.trainable(self.loss).values())
        for parameter in self.parameters:
            parameter.requires_grad_(True)
        # Over all parameters from the start; those that never train never get a state.
        self.optimizer = torch.optim.AdamW(self.parameters, weight_decay=weight_decay, fused=True)
        self.active: list[int] | None = None
        self.checked = False

    def _set_training(self) -> None:
        self.parallel.set_training(self.loss, self.dropout)
        if self.adapter_dropout:
            lora.switch_dropout_on(self.loss)

    def activate(self, layers: list[int]) -> None:
        """Let these layers train (see `lisa.activate`) and forget the state of those that stop."""
        lisa.activate(self.loss, layers, self.lisa.embeddings)
        if self.free_states:
            lisa.free_frozen(self.optimizer)
        self.active, self.checked = layers, False

    def step(
        self, examples: list, coefficients: torch.Tensor, rate: float, clip: float | None = None, when: str = ""
    ) -> torch.Tensor:
        """One AdamW step of learning rate `rate` on Σ c_i l_i; returns the losses before it, float64 on the CPU, [examples].

        `clip` bounds the gradient's norm. Raises UserError, naming `when` and the rows, if a loss or gradient is not
        finite, and naming the layers if they have no gradient though they train, or have one though they sleep.
        """
        losses = self._backward(examples, coefficients)
        if not torch.isfinite(losses).all():
            bad = [example for example, finite in zip(examples, torch.isfinite(losses), strict=True) if not finite]
            raise UserError(self._not_finite("loss", bad, examples, when, rate))
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients, foreach=True)
        if not torch.isfinite(whole(norm)):
            raise UserError(self._not_finite("gradient", self._rows_at_fault(examples), examples, when, rate))
        if not self.checked:
            self._check_gradients(when)
        if clip is not None:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, clip, norm)
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.step()
        # Gradients are not kept while the other model takes its turn.
        self.optimizer.zero_grad(set_to_none=True)
        return losses

    def _backward(self, examples: list, coefficients: torch.Tensor) -> torch.Tensor:
        """Gradients of Σ c_i l_i into `.grad`, summed over processes; returns every l_i, on every process."""
        parallel = self.parallel
        self.optimizer.zero_grad(set_to_none=True)
        losses = torch.zeros(len(examples), dtype=torch.float64)
        dtype = next(iter(self.parameters)).dtype
        coefficients = coefficients.to(parallel.device, dtype) * parallel.factor
        parts = parallel.share_out([len(example.ids) for example in examples])
        for number, part in enumerate(parts):
            parallel.accumulate(self.loss, last=number == len(parts) - 1)
            # A process without examples still takes part in gathering layers: with one that does not count.
            batch = self.collate([examples[i] for i in part or [0]]).to(parallel.device)
            with parallel.autocast():
                objective, seen = self.loss(batch, coefficients[part] if part else coefficients[:1] * 0)
            objective.backward()
            if part:
                losses[part] = seen.double().cpu()
        parallel.add_gradients(self.parameters)
        return parallel.sum(losses)

    def evaluate(self, examples: list) -> torch.Tensor:
        """The loss of each example without gradients, float64 on the CPU, [examples]; dropout off."""
        self.loss.eval()
        losses = evaluate(self.loss, examples, self.collate, self.parallel)
        self._set_training()
        return losses

    def whole_parameters(self) -> dict[str, torch.Tensor]:
        """Parameters that may have trained, by their name in the model, complete and on the CPU, in the first process.

        {} in the others. All processes must call it.
        """
        found = {}
        for name, parameter in lora.trainable(self.loss).items():
            complete = whole(parameter.detach())
            if self.parallel.rank == 0:
                found[name.removeprefix("model.")] = complete.cpu()
        return found

    # --- what can go wrong ---

    def _not_finite(self, what: str, rows: list, of: list, when: str, rate: float) -> str:
        names = [row.name or f"a row of source number {row.source}" for row in rows]
        if len(rows) == len(of):
            where = " in every row"
        else:
            where = f"; rows at fault: {', '.join(names[:5])}" + (f" and {len(names) - 5} more" if names[5:] else "")
        return (
            f"{when}: a {what} of {self.name} is not finite{where}. Nothing was written. Mend these rows, or lower "
            f"`learning_rate` (in force at this step: {rate:.3g})."
        )

    def _rows_at_fault(self, examples: list) -> list:
        """Examples whose own gradient is not finite; every process looks at every example, so that all stay in step."""
        micro_batch, self.parallel.micro_batch = self.parallel.micro_batch, None
        found = []
        for example in examples:
            self._backward([example], torch.ones(1))
            norm = torch.nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None])
            if not torch.isfinite(whole(norm)):
                found.append(example)
        self.parallel.micro_batch = micro_batch
        return found

    def _check_gradients(self, when: str) -> None:
        """Every layer that trains has a gradient, and nothing frozen has: checkpointing or sharding can lose them silently."""
        stack = lisa.find_layers(self.loss)
        inside = {id(parameter) for layer in stack for parameter in layer.parameters()}
        groups = {f"layer {i}": list(layer.parameters()) for i, layer in enumerate(stack)}
        groups["embeddings, final norm and head"] = [p for p in self.loss.parameters() if id(p) not in inside]
        for name, parameters in groups.items():
            trains = [parameter for parameter in parameters if parameter.requires_grad]
            lost = trains and all(parameter.grad is None for parameter in trains)
            stray = any(parameter.grad is not None for parameter in parameters if not parameter.requires_grad)
            if lost or stray:
                sleeps = "should sleep and has a gradient" if not trains else "has a gradient outside its adapters"
                fault = "should train and has no gradient" if lost else sleeps
                raise UserError(
                    f"{when}: {name} of {self.name} {fault}. The loss does not reach what it should train: check "
                    "that gradient checkpointing is non-reentrant and that the model uses all its layers."
                )
        self.checked = True

    # --- checkpoints ---

    def state(self) -> tuple[dict[str, torch.Tensor], dict]:
        """Tensors (this process's part of sharded ones) and plain facts, from which `load` goes on bit for bit."""
        tensors, steps = {}, {}
        for name, parameter in lora.trainable(self.loss).items():
            tensors[name] = local(parameter.detach())
            if state := self.optimizer.state.get(parameter):
                steps[name] = float(state["step"])
                tensors |= {f"{name}:{key}": local(state[key]) for key in STATES}
        return tensors, {"active": self.active, "steps": steps}

    def load(self, tensors: dict[str, torch.Tensor], facts: dict) -> None:
        """Take up a state that `state` returned in a run of the same settings and as many processes."""
        if facts["active"] is not None:
            self.activate(facts["active"])
        for name, parameter in lora.trainable(self.loss).items():
            with torch.no_grad():
                local(parameter).copy_(tensors[name])
            if name in facts["steps"]:
                self.optimizer.state[parameter] = {
                    "step": torch.tensor(facts["steps"][name], device=local(parameter).device)
                } | {
                    key: like(tensors[f"{name}:{key}"].to(local(parameter).device, copy=True), parameter)
                    for key in STATES
                }
