"""What a strategy is: a configuration that can train a policy on an environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar, Protocol

import gymnasium
from numpy.typing import NDArray
from torch import Tensor

from nondiff.envs.recipe import EnvRecipe


class Policy(Protocol):
    """Anything that acts."""

    def predict(self, observation: Any, deterministic: bool = True) -> NDArray[Any]:
        """The action for one observation."""
        ...


class TrainedPolicy(Policy, Protocol):
    """A policy that can be kept: a JSON description and named tensors."""

    def description(self) -> dict[str, Any]:
        """Everything but the weights, as JSON types; `kind` names its loader."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """The weights and statistics, by name."""
        ...


class Observer(Protocol):
    """What an experiment plugs into a training."""

    def after_step(self, steps: int, mean_return: float | None, success: float | None) -> bool:
        """Note the progress; whether the policy is to be shown to `review` now."""
        ...

    def review(self, steps: int, policy: TrainedPolicy) -> bool:
        """Evaluate and keep the policy; whether training goes on."""
        ...

    def keep(self, steps: int, policy: TrainedPolicy) -> None:
        """Keep the policy of a training that is breaking off."""
        ...

    def record(self, steps: int, metrics: Mapping[str, float]) -> None:
        """Write metrics of the training."""
        ...


@dataclass(frozen=True)
class Training:
    """A training to do, apart from how.

    Args:
        recipe: the environment.
        budget: environment steps.
        seed: of everything that is drawn.
        device: "cpu", "cuda" or "auto".
    """

    recipe: EnvRecipe
    budget: int
    seed: int
    device: str = "cpu"


@dataclass(frozen=True)
class Strategy:
    """Hyperparameters, and the module that trains with them.

    The module is named rather than imported, so that a command line can be read without loading a
    learning library; it has the functions `check` and `train`.
    """

    name: ClassVar[str]
    trainer: ClassVar[str]

    def check(self, env: gymnasium.Env[Any, Any]) -> None:
        """Refuse an environment or a value that this strategy can't train with.

        Raises:
            IncompatibleStrategyError: the environment does not fit; names strategies that do.
            InvalidOptionError: a hyperparameter is out of its range.
        """
        import_module(self.trainer).check(self, env)

    def train(self, training: Training, observer: Observer) -> TrainedPolicy:
        """Train until the budget is spent or the observer ends it.

        Raises:
            NonFiniteError: an environment, or the training itself, produced a NaN or an infinity.
        """
        policy: TrainedPolicy = import_module(self.trainer).train(self, training, observer)
        return policy
