"""The black-box contract: one opaque, counted map, surrounded by differentiable torch code."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from nondiff.gym.copying import DeepCopied

Array = NDArray[np.float64]
Capability = Literal["jacobian", "vjp", "twin"]


@dataclass(frozen=True)
class Start:
    """The initial states and contexts of n episodes, one per row.

    Args:
        state: (n, state) the input of `transition` beside the action; it changes from step to step.
            Its width is 0 in most one-step problems.
        context: (n, context) the constant data of an episode, such as a measurement or a goal.
    """

    state: Array
    context: Array


class BlackBox(DeepCopied, ABC):
    """A program that maps actions to outcomes and can be run but not differentiated.

    Every strategy trains on this interface. `BlackBoxEnv` turns it into an ordinary Gymnasium
    environment, and `BlackBoxVectorEnv` into a vectorized one. Only `transition` is opaque and
    counted; `observation` and `reward` are differentiable torch code and free. `HasVjp`,
    `HasJacobian`, `HasTwin` and `HasPool` are protocols of optional capabilities.

    Rows are independent: a row's result is the same in any batch. All arrays are float64.
    """

    observation_space: spaces.Space[Any]  # a Box, or a Dict of Boxes, flattened in key order
    action_space: spaces.Box
    horizon: int = 1  # maximum number of transitions per episode
    # Size of an outcome, for `info` before the first one; None: the size of a state, since in
    # episodes of many steps the outcome is the next state.
    outcomes: int | None = None
    differentiable_reward: bool = True  # False: pathwise strategies refuse to train on it
    failure_reward: ClassVar[float]  # reward of a failed row (NaN outcome), which ends its episode

    @abstractmethod
    def initial(self, n: int, rng: np.random.Generator) -> Start:
        """Sample the initial states and contexts of n episodes, without calling `transition`."""

    @abstractmethod
    def transition(self, state: Array, action: Array) -> Array:
        """Run the program; the only method whose calls count against the budget.

        Args:
            state: (n, state).
            action: (n, action), within `action_space`.

        Returns:
            The outcomes (n, outcome); failed rows are NaN.
        """

    @abstractmethod
    def observation(self, state: Tensor, context: Tensor) -> Tensor:
        """The flattened observations (n, observation) of the policy."""

    @abstractmethod
    def reward(self, state: Tensor, action: Tensor, outcome: Tensor, context: Tensor) -> Tensor:
        """The rewards (n,) of outcomes without NaN."""

    def next_state(self, state: Tensor, outcome: Tensor) -> Tensor:
        """The states (n, state) after a transition; by default the outcomes if `horizon` > 1."""
        return state if self.horizon == 1 else outcome

    def close(self) -> None:
        """Release resources, such as running programs; the black box can be used again."""

    def success(self, state: Tensor, action: Tensor, outcome: Tensor, context: Tensor) -> Any:
        """Flags (n,) of the rows that reached their goal and so terminate; None: no goal."""
        return None

    def draw(
        self,
        figure: Any,
        state: Array,
        action: Array | None,
        outcome: Array | None,
        context: Array,
    ) -> None:
        """Draw the last transition for `render`, videos and reports; by default as bar charts.

        Args:
            figure: an empty matplotlib figure; matplotlib is imported only for drawing.
            state: (state,) the state before the action, or the initial state.
            action: (action,) the last action; None before the first.
            outcome: (outcome,) the last outcome; NaN if it failed; None before the first.
            context: (context,) the context of the episode.
        """
        from nondiff.black_box.pictures import draw_numbers

        draw_numbers(figure, {"context": context, "action": action, "outcome": outcome})


@runtime_checkable
class HasVjp(Protocol):
    """A hand-written vector-Jacobian product of `transition`."""

    vjp_cost: int  # calls charged per row

    def vjp(
        self, state: Array, action: Array, outcome: Array, cotangent: Array
    ) -> tuple[Array, Array]:
        """Pull cotangents back to the states (n, state) and the actions (n, action).

        Args:
            state: (n, state).
            action: (n, action).
            outcome: (n, outcome) the results of `transition`, without NaN.
            cotangent: (n, outcome).
        """
        ...


@runtime_checkable
class HasJacobian(Protocol):
    """A hand-written Jacobian of `transition` with respect to the action."""

    jacobian_cost: int  # calls charged per row

    def jacobian(self, state: Array, action: Array, outcome: Array) -> Array:
        """The Jacobians (n, outcome, action) at outcomes without NaN."""
        ...


@runtime_checkable
class HasTwin(Protocol):
    """A torch implementation of `transition`, for automatic differentiation."""

    twin_cost: int  # calls of the program per row; 0: the twin does not run it

    def twin(self, state: Tensor, action: Tensor) -> Tensor:
        """The differentiable outcomes (n, outcome); failed rows are NaN."""
        ...


@runtime_checkable
class HasPool(Protocol):
    """A fixed pool of starts, from which `initial` samples."""

    def pool(self) -> Start:
        """All starts of the pool."""
        ...


def capabilities(box: BlackBox) -> set[Capability]:
    """The gradient capabilities of a black box."""
    protocols: dict[Capability, Any] = {"vjp": HasVjp, "jacobian": HasJacobian, "twin": HasTwin}
    return {name for name, protocol in protocols.items() if isinstance(box, protocol)}


def failed_rows(outcome: Array) -> NDArray[np.bool_]:
    """Flags (n,) of the failed rows of outcomes (n, outcome): those that are not finite."""
    return np.asarray(~np.isfinite(outcome).all(axis=1))
