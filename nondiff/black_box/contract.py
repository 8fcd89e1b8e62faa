"""The contract: one opaque, counted map, and cheap, known, differentiable code around it."""

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
    """Where episodes begin, one a row.

    Args:
        state: (n, state) what `transition` is given beside the action and changes; of width 0
            in most episodes of one step.
        context: (n, context) what an episode is about and keeps: measured data, a goal.
    """

    state: Array
    context: Array


class BlackBox(DeepCopied, ABC):
    """A program that maps actions to outcomes and can be run but not differentiated.

    From one description come an ordinary Gymnasium environment (`BlackBoxEnv`), a vectorised one
    (`BlackBoxVectorEnv`), and what every strategy trains on. Only `transition` is opaque and
    counted; `observation` and `reward` are differentiable torch code and free. Optional
    capabilities, found by protocol, are `HasVjp`, `HasJacobian`, `HasTwin` and `HasPool`.

    Rows are independent, and a row's result is the same in any batch. All arrays are float64.
    """

    observation_space: spaces.Space[Any]  # a Box, or a Dict of Boxes, flattened in key order
    action_space: spaces.Box
    horizon: int = 1  # transitions an episode, at most
    # Entries of an outcome, for `info` before there is one; None: those of a state, which an
    # outcome is where episodes have many steps.
    outcomes: int | None = None
    differentiable_reward: bool = True  # otherwise pathwise strategies refuse to train on it
    failure_reward: ClassVar[float]  # of a row whose outcome holds a NaN; its episode ends there

    @abstractmethod
    def initial(self, n: int, rng: np.random.Generator) -> Start:
        """Draw the starts of n episodes, without a transition."""

    @abstractmethod
    def transition(self, state: Array, action: Array) -> Array:
        """Run the program, the one thing that is counted.

        Args:
            state: (n, state).
            action: (n, action), within `action_space`.

        Returns:
            The outcomes (n, outcome); a row that failed is NaN.
        """

    @abstractmethod
    def observation(self, state: Tensor, context: Tensor) -> Tensor:
        """What the policy sees, (n, observation), flattened."""

    @abstractmethod
    def reward(self, state: Tensor, action: Tensor, outcome: Tensor, context: Tensor) -> Tensor:
        """The rewards (n,) of outcomes without NaN."""

    def next_state(self, state: Tensor, outcome: Tensor) -> Tensor:
        """The states (n, state) after a transition: the outcome, where episodes have many steps."""
        return state if self.horizon == 1 else outcome

    def close(self) -> None:
        """End what runs for it, such as programs; it may be used again."""

    def success(self, state: Tensor, action: Tensor, outcome: Tensor, context: Tensor) -> Any:
        """Which rows (n,) reached their goal, which ends their episodes; None: there is none."""
        return None

    def draw(
        self,
        figure: Any,
        state: Array,
        action: Array | None,
        outcome: Array | None,
        context: Array,
    ) -> None:
        """Draw an answer, for `render`, videos and reports: bars of all numbers, unless overridden.

        Args:
            figure: an empty one of matplotlib, which is imported only to draw.
            state: (state,) in which the action was taken; before the first one, the start's.
            action: (action,) the last one; None before the first.
            outcome: (outcome,) of it; NaN where it failed; None before the first.
            context: (context,) what the episode is about.
        """
        from nondiff.black_box.pictures import draw_numbers

        draw_numbers(figure, {"context": context, "action": action, "outcome": outcome})


@runtime_checkable
class HasVjp(Protocol):
    """A hand-written vector-Jacobian product of `transition`."""

    vjp_cost: int  # calls that a row is charged for

    def vjp(
        self, state: Array, action: Array, outcome: Array, cotangent: Array
    ) -> tuple[Array, Array]:
        """Cotangents of the states (n, state) and the actions (n, action).

        Args:
            state: (n, state).
            action: (n, action).
            outcome: (n, outcome) what `transition` gave, without NaN.
            cotangent: (n, outcome).
        """
        ...


@runtime_checkable
class HasJacobian(Protocol):
    """The whole hand-written Jacobian of `transition` with respect to the action."""

    jacobian_cost: int  # calls that a row is charged for

    def jacobian(self, state: Array, action: Array, outcome: Array) -> Array:
        """The Jacobians (n, outcome, action) at outcomes without NaN."""
        ...


@runtime_checkable
class HasTwin(Protocol):
    """The same map as `transition` in torch, for automatic differentiation."""

    twin_cost: int  # calls of the program that a row makes; 0 where it is not run

    def twin(self, state: Tensor, action: Tensor) -> Tensor:
        """The outcomes (n, outcome), differentiable; a row that failed is NaN."""
        ...


@runtime_checkable
class HasPool(Protocol):
    """A fixed list of starts, from which `initial` draws."""

    def pool(self) -> Start:
        """All of them."""
        ...


def capabilities(box: BlackBox) -> set[Capability]:
    """The ways in which a black box offers a gradient."""
    protocols: dict[Capability, Any] = {"vjp": HasVjp, "jacobian": HasJacobian, "twin": HasTwin}
    return {name for name, protocol in protocols.items() if isinstance(box, protocol)}


def failed_rows(outcome: Array) -> NDArray[np.bool_]:
    """Which rows (n,) of outcomes (n, outcome) are failures."""
    return np.asarray(~np.isfinite(outcome).all(axis=1))
