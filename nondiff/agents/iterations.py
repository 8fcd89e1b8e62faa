"""Trains in iterations, each of which depends on the state before it and on the seed alone."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from nondiff.agents.network import MLP, Activation, NetworkPolicy
from nondiff.agents.seeds import generator_seed
from nondiff.agents.strategy import Observer, State, Strategy, Training
from nondiff.envs.black_box import Meter
from nondiff.envs.errors import DamagedCheckpointError, NonFiniteError

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

    @abstractmethod
    def values(self) -> dict[str, Any]:
        """What `restore` needs beside `tensors`, as JSON types."""

    @abstractmethod
    def tensors(self) -> Tensors:
        """What the next iteration depends on, beside the network's weights."""

    @abstractmethod
    def restore(self, values: dict[str, Any], tensors: Tensors) -> None:
        """Take up what `values` and `tensors` gave; the network and `calls` are restored."""


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
    origin = _origin(config, training)
    state = training.checkpoints.load()
    if state is not None:
        _restore(learner, origin, state)
    observer.begin(learner.calls)
    learner.progress = lambda: observer.after_step(learner.calls, learner.mean_return, None)
    try:
        while not learner.is_over():
            before = learner.calls
            with threadpool_limits(1, "blas"):  # NumPy's threads only get in each other's way here
                metrics = _iterate(learner)
            if learner.meter is not None:
                training.simulator_seconds = sum(learner.meter.cpu_seconds.values())
            _check_weights(learner.module, learner.calls)
            due = observer.after_step(learner.calls, learner.mean_return, None)
            observer.record(learner.calls, metrics)
            if _crossed(before, learner.calls, training.checkpoint_every):
                training.checkpoints.save(_state(learner, origin))
            if due and not learner.is_over() and not observer.review(learner.calls, policy):
                break
    except BaseException:
        if all(bool(torch.isfinite(p).all()) for p in learner.module.parameters()):
            observer.keep(learner.calls, policy)
        raise
    return policy


def _iterate(learner: Learner) -> dict[str, float]:
    seed = generator_seed(learner.training.seed, learner.iteration + 1)
    torch.manual_seed(seed)
    metrics = learner.iterate(np.random.default_rng(seed))
    learner.iteration += 1
    return metrics


def _crossed(before: int, after: int, every: int) -> bool:
    return before // every != after // every


def _check_weights(module: nn.Module, calls: int) -> None:
    for name, weight in module.named_parameters():
        if not torch.isfinite(weight).all():
            raise NonFiniteError(
                f"the update before call {calls} made the weight {name} NaN or infinite; lower "
                "learning_rate or scale the rewards"
            )


def _origin(config: Strategy, training: Training) -> dict[str, Any]:
    """All that a checkpoint's bits depend on."""
    origin = {
        "strategy": config.name,
        "env": training.recipe.id,
        "env_arguments": dict(training.recipe.arguments),
        "seed": training.seed,
        **asdict(config),
    }
    return dict(json.loads(json.dumps(origin)))


def _state(learner: Learner, origin: dict[str, Any]) -> State:
    weights = {POLICY + name: value for name, value in learner.module.state_dict().items()}
    values = {
        "origin": origin,
        "iteration": learner.iteration,
        "mean_return": learner.mean_return,
        "learner": learner.values(),
    }
    return State(learner.calls, values, weights | learner.tensors())


def _restore(learner: Learner, origin: dict[str, Any], state: State) -> None:
    try:
        theirs = state.values["origin"]
        other = [name for name in {**origin, **theirs} if origin.get(name) != theirs.get(name)]
        if other:
            raise ValueError(f"it is of a run with another {', '.join(other)}; remove it")
        weights = {
            name.removeprefix(POLICY): value
            for name, value in state.tensors.items()
            if name.startswith(POLICY)
        }
        learner.module.load_state_dict(weights, strict=True)
        learner.calls, learner.iteration = state.steps, int(state.values["iteration"])
        learner.mean_return = state.values["mean_return"]
        learner.restore(state.values["learner"], state.tensors)
    except (LookupError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise DamagedCheckpointError(
            f"the checkpoint of step {state.steps:,} does not fit this run: {reason}"
        ) from error


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
    for full, value in tensors.items():
        if full.startswith(f"{name}."):
            index, _, key = full.removeprefix(f"{name}.").partition(".")
            state.setdefault(int(index), {})[key] = value.clone()
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
