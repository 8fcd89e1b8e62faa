"""Trains in iterations, each of which depends on the state before it and on the seed alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from nondiff.agents.origin import origin_of, restoring
from nondiff.agents.policies.network import MLP, Activation, NetworkPolicy, non_finite_weight
from nondiff.agents.seeds import generator_seed
from nondiff.agents.strategy import Observer, State, Strategy, Training
from nondiff.black_box import Meter
from nondiff.errors import NonFiniteError

Tensors = dict[str, Tensor]
POLICY = "policy."


class Learner(ABC):
    """What an iterative strategy does, and all that it remembers from one iteration to the next.

    Args:
        module: the network it trains, in place.
        training: budget, seed and device.

    Attributes:
        calls: what was charged to the budget so far.
        iteration: iterations done.
        progress: called with no arguments from time to time within an iteration.
        meter: what calls of a black box pass through, if there is one.
    """

    def __init__(self, module: nn.Module, training: Training) -> None:
        self.module = module.to(device(training))
        self.training = training
        self.calls = 0
        self.iteration = 0
        self.progress: Any = lambda: None
        self.meter: Meter | None = None
        self.mean_return: float | None = None

    @abstractmethod
    def iterate(self, rng: np.random.Generator) -> dict[str, float]:
        """Do one iteration within the budget; returns metrics of it."""

    @abstractmethod
    def is_over(self) -> bool:
        """Whether the budget leaves nothing more to do."""

    def is_spent(self) -> bool:
        """Whether no call is left: what it still does, it does at the same number of calls."""
        return self.is_over()

    def values(self) -> dict[str, Any]:
        """What `restore` needs beside `tensors`, as JSON types."""
        return {}

    @abstractmethod
    def tensors(self) -> Tensors:
        """What the next iteration depends on, beside the network's weights."""

    @abstractmethod
    def restore(self, values: dict[str, Any], tensors: Tensors) -> None:
        """Take up what `values` and `tensors` gave, once network, calls and meter are restored."""


def device(training: Training) -> torch.device:
    """Where a training computes."""
    auto = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(auto if training.device == "auto" else training.device)


def new_module(
    training: Training, env: Any, net_arch: tuple[int, ...], activation: Activation
) -> nn.Module:
    """The network to train: the one given, or a new one drawn with the training's seed."""
    if training.module is not None:
        given: nn.Module = training.module
        return given
    torch.manual_seed(training.seed)
    return MLP.for_env(env, net_arch, activation)


def run(
    config: Strategy,
    training: Training,
    observer: Observer,
    learner: Learner,
    policy: NetworkPolicy,
) -> NetworkPolicy:
    """Iterate from the last checkpoint until the budget is spent or the observer ends it."""
    origin = origin_of(config, training)
    state = training.checkpoints.load()
    if state is not None:
        _restore(learner, origin, state)
    # A step's evaluation follows its checkpoint, and may have been interrupted.
    due = observer.begin(learner.calls, evaluated=state is None)
    learner.progress = lambda: observer.after_step(learner.calls, learner.mean_return, None)
    if learner.meter is not None:
        training.simulator_seconds = partial(_simulator_seconds, learner.meter)
    try:
        if due and _ends(learner, observer, policy):
            return policy
        while not learner.is_over():
            before = learner.calls
            with threadpool_limits(1, "blas"):  # NumPy's threads only get in each other's way here
                metrics = _iterate(learner)
            _check_weights(learner.module, learner.calls)
            due = observer.after_step(learner.calls, learner.mean_return, None)
            observer.record(learner.calls, metrics)
            if _crossed(before, learner.calls, training.checkpoint_every):
                training.checkpoints.save(_state(learner, origin))
            if due and _ends(learner, observer, policy):
                break
    except BaseException:
        if non_finite_weight(learner.module) is None:
            observer.keep(learner.calls, policy)
        raise
    return policy


def _ends(learner: Learner, observer: Observer, policy: NetworkPolicy) -> bool:
    """Whether the observer ends the training on its evaluation of the policy."""
    if learner.is_spent():  # the caller evaluates the final policy
        return False
    return observer.evaluate(learner.calls, policy) is not None


def _simulator_seconds(meter: Meter) -> float:
    return sum(meter.cpu_seconds.values())


def _iterate(learner: Learner) -> dict[str, float]:
    seed = generator_seed(learner.training.seed, learner.iteration + 1)
    torch.manual_seed(seed)
    metrics = learner.iterate(np.random.default_rng(seed))
    learner.iteration += 1
    return metrics


def _crossed(before: int, after: int, every: int) -> bool:
    return before // every != after // every


def _check_weights(module: nn.Module, calls: int) -> None:
    name = non_finite_weight(module)
    if name is not None:
        raise NonFiniteError(
            f"the update before call {calls} made the weight {name} NaN or infinite; lower "
            "learning_rate or scale the rewards"
        )


def _state(learner: Learner, origin: dict[str, Any]) -> State:
    values = {
        "origin": origin,
        "iteration": learner.iteration,
        "mean_return": learner.mean_return,
        "rows": {} if learner.meter is None else dict(learner.meter.rows),
        "learner": learner.values(),
    }
    tensors = prefixed(POLICY, learner.module.state_dict()) | learner.tensors()
    return State(learner.calls, values, tensors)


def _restore(learner: Learner, origin: dict[str, Any], state: State) -> None:
    with restoring(state, origin):
        learner.module.load_state_dict(under(POLICY, state.tensors), strict=True)
        learner.calls, learner.iteration = state.steps, int(state.values["iteration"])
        learner.mean_return = state.values["mean_return"]
        if learner.meter is not None:
            learner.meter.resume_from(learner.calls, state.values["rows"])
        learner.restore(state.values["learner"], state.tensors)


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> Tensors:
    """The same tensors, each name behind a prefix."""
    return {prefix + name: tensor for name, tensor in tensors.items()}


def under(prefix: str, tensors: Mapping[str, Tensor]) -> Tensors:
    """The tensors behind a prefix, without it."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def optimizer_tensors(name: str, optimizer: torch.optim.Optimizer) -> Tensors:
    """The state of an optimiser, by name."""
    return {
        f"{name}.{index}.{key}": value
        for index, entries in optimizer.state_dict()["state"].items()
        for key, value in entries.items()
    }


def restore_optimizer(name: str, optimizer: torch.optim.Optimizer, tensors: Tensors) -> None:
    """Give a new optimiser the state that `optimizer_tensors` took."""
    state: dict[int, dict[str, Tensor]] = {}
    for place, value in under(f"{name}.", tensors).items():
        index, _, key = place.partition(".")
        state.setdefault(int(index), {})[key] = value.clone()
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
