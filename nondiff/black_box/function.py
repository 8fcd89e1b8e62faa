"""FunctionBox: a black box made of a plain Python function, without subclassing."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from nondiff.black_box.call_trace import CallTrace
from nondiff.black_box.contract import Array, BlackBox, Start
from nondiff.black_box.guarded import GuardedFunction, numbers
from nondiff.errors import EnvironmentFailedError, InvalidOptionError
from nondiff.labels import name_of, split_label

ContextPool = Literal["all", "training", "held-out"]
Vector = NDArray[np.float64]

HELD_OUT_EVERY = 10  # every tenth context is held out


class FunctionBox(BlackBox):
    """A function of a parameter vector, whose outcome should match what each context requests.

    Episodes have one step. The action is the parameter vector, scaled from its bounds to [-1, 1].
    The observation is the context, standardized entry by entry. The reward is minus the root mean
    square of (outcome - context) / scale, unless `reward` is given.

    A row fails if the function raises, or if its result holds a NaN or infinity; `failures` counts
    them. A `NondiffError` is not a failed row: it ends training.

    Args:
        function: maps parameters (parameter,) to an outcome (outcome,), or to a number if its size
            is 1; if batched, (n, parameter) to (n, outcome), with NaN in failed rows.
        low: (parameter,) lower bounds of the parameters, in units of your choice.
        high: (parameter,) upper bounds, in the same units.
        contexts: (contexts, context) from which episodes sample uniformly.
        scale: (outcome,), or a number for all entries: the noise or tolerance that counts as a
            residual of 1.
        reward: differentiable torch function of parameters (n, parameter), outcomes (n, outcome)
            and contexts (n, context) that returns rewards (n,).
        outcomes: size of an outcome; None: that of a context.
        failure_reward: reward of a failed row; choose it below all other rewards.
        pool: "training" leaves out every tenth context, "held-out" has only those.
        batched: whether the function takes many rows at once.
        jacobian: maps parameters (parameter,) to derivatives (outcome, parameter).
        vjp: maps parameters (parameter,) and a cotangent (outcome,) to their vector-Jacobian
            product (parameter,); None: computed from `jacobian`, if given.
        gradient_cost: calls charged per use of `jacobian` or `vjp`.
        twin: the function in torch, (n, parameter) to (n, outcome), with NaN in failed rows; each
            row is charged one call.
        parameter_names: names of the parameters in pictures, with units; None: numbers.
        outcome_names: names of the entries of an outcome in pictures, with units; None: numbers.
        context_names: names of the entries of a context in requests; None: the outcome names
            without units, if contexts are requested outcomes.

    Raises:
        InvalidOptionError: an argument of the wrong shape, or outside its choices.
    """

    outcomes: int

    def __init__(
        self,
        function: Callable[[Any], Any],
        *,
        low: ArrayLike,
        high: ArrayLike,
        contexts: ArrayLike,
        scale: ArrayLike = 1.0,
        reward: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None,
        outcomes: int | None = None,
        failure_reward: float = -100.0,
        pool: ContextPool = "all",
        batched: bool = False,
        jacobian: Callable[[Vector], Any] | None = None,
        vjp: Callable[[Vector, Vector], Any] | None = None,
        gradient_cost: int = 1,
        twin: Callable[[Tensor], Tensor] | None = None,
        parameter_names: Sequence[str] | None = None,
        outcome_names: Sequence[str] | None = None,
        context_names: Sequence[str] | None = None,
    ) -> None:
        self.low, self.high = _bounds(low, high)
        everything = _contexts(contexts)
        self._contexts = everything[_members(len(everything), pool)]
        self.outcomes = everything.shape[1] if outcomes is None else outcomes
        if reward is None and self.outcomes != everything.shape[1]:
            raise InvalidOptionError(
                f"outcomes of {self.outcomes} entries can't be compared with contexts of "
                f"{everything.shape[1]}; give a reward, or contexts that are requested outcomes"
            )
        self.scale = _scale(scale, self.outcomes)
        if not np.isfinite(failure_reward):
            raise InvalidOptionError(f"failure_reward must be finite, not {failure_reward}")
        self.failure_reward = float(failure_reward)  # type: ignore[misc]  # per instance
        self.parameter_names = _names(parameter_names, "parameter", len(self.low))
        self.outcome_names = _names(outcome_names, "outcome", self.outcomes)
        self.context_names = self._names_of_contexts(context_names, reward, everything.shape[1])
        self._function = GuardedFunction(function, self.outcomes, batched)
        self._reward = reward
        self._scale_observations(everything)
        self.action_space = spaces.Box(-1.0, 1.0, self.low.shape, np.float32)
        self._offer(jacobian, vjp, gradient_cost, twin)

    def _names_of_contexts(self, given: Any, reward: Any, width: int) -> list[str]:
        is_outcome = given is None and reward is None
        names = self.outcome_names if is_outcome else _names(given, "context", width)
        return [name_of(label) for label in names]

    @property
    def context_bounds(self) -> tuple[Array, Array]:
        """The minimum and maximum entries (context,) of all contexts."""
        return self._least.copy(), self._largest.copy()

    def _scale_observations(self, everything: Array) -> None:
        """Standardize by all contexts, so that training and held-out ones are scaled alike."""
        self._least, self._largest = everything.min(axis=0), everything.max(axis=0)
        spread = everything.std(axis=0)
        self._mean = everything.mean(axis=0)
        self._deviation = np.where(spread > 0, spread, 1.0)
        furthest = np.abs((everything - self._mean) / self._deviation).max() + 1
        self.observation_space = spaces.Box(
            -float(furthest), float(furthest), everything.shape[1:], np.float32
        )

    def _offer(self, jacobian: Any, vjp: Any, gradient_cost: int, twin: Any) -> None:
        """Set the attributes of the given capabilities only, since protocols check attributes."""
        if gradient_cost < 0:
            raise InvalidOptionError(f"gradient_cost must be at least 0, not {gradient_cost}")
        self._given_jacobian, self._given_vjp, self._given_twin = jacobian, vjp, twin
        if jacobian is not None:
            self.jacobian, self.jacobian_cost = self._jacobian, gradient_cost
        if jacobian is not None or vjp is not None:
            self.vjp, self.vjp_cost = self._vjp, gradient_cost
        if twin is not None:
            self.twin, self.twin_cost = self._twin, 0  # it does not run the function
        if self._reward is None:
            self.residual = self._residual

    @property
    def failures(self) -> Counter[str]:
        """Number of failed rows by the kind or name of the exception, or "NaN or infinity"."""
        return self._function.failures

    @property
    def last_failure(self) -> str:
        """The parameters and the error of the last failed row."""
        return self._function.last_failure

    def trace(self, parameters: Vector, keep: Path | None = None) -> CallTrace:
        """Make one call, which nothing counts, and keep all that was written and read.

        Args:
            parameters: (parameter,) in the function's own units.
            keep: a new folder, for a copy of the one that a program ran in.
        """
        values = np.asarray(parameters, np.float64)
        if outside := self._outside(values):
            return CallTrace(values, failure=f"invalid input: {outside}")
        return self._function.trace(values, keep)

    def _outside(self, parameters: Vector) -> str:
        """Which parameter is not within its bounds; "" where all are."""
        rows = zip(self.parameter_names, parameters, self.low, self.high, strict=True)
        for label, value, low, high in rows:
            if not low <= value <= high:
                name, unit = split_label(label)
                shown = f"{name} = {value:g} {unit}".rstrip()
                return f"{shown} is not within [{low:g}, {high:g}]"
        return ""

    def close(self) -> None:
        """Release the resources of the function."""
        self._function.close()

    def parameters(self, action: Array) -> Array:
        """Convert actions (n, parameter) to parameters in their own units."""
        found = self.low + (action + 1) / 2 * (self.high - self.low)
        return np.clip(found, self.low, self.high)  # guards against rounding

    def draw(
        self,
        figure: Any,
        state: Array,
        action: Array | None,
        outcome: Array | None,
        context: Array,
    ) -> None:
        """Draw the parameters within their bounds, and the outcome beside the request."""
        from nondiff.black_box.pictures import NamedRanges, draw_answer, draw_parameters

        if self._reward is not None:  # a context need not be a requested outcome
            super().draw(figure, state, action, outcome, context)
            return
        parameters = None if action is None else self.parameters(action[None])[0]
        left, right = figure.subplots(1, 2)
        draw_parameters(left, NamedRanges(self.parameter_names, self.low, self.high), parameters)
        requests = NamedRanges(
            self.outcome_names, self._least - self.scale, self._largest + self.scale
        )
        draw_answer(right, requests, outcome, context)

    def pool(self) -> Start:
        return Start(np.zeros((len(self._contexts), 0)), self._contexts.copy())

    def initial(self, n: int, rng: np.random.Generator) -> Start:
        rows = rng.integers(len(self._contexts), size=n)
        return Start(np.zeros((n, 0)), self._contexts[rows])

    def transition(self, state: Array, action: Array) -> Array:
        return self._function(self.parameters(action))

    def observation(self, state: Tensor, context: Tensor) -> Tensor:
        mean, deviation = (
            torch.from_numpy(part).to(context) for part in (self._mean, self._deviation)
        )
        return (context - mean) / deviation

    def reward(self, state: Tensor, action: Tensor, outcome: Tensor, context: Tensor) -> Tensor:
        if self._reward is not None:
            given = self._reward(self._in_units(action), outcome, context)
            return _shaped(given, (len(action),), "the reward")
        # The norm, unlike a square root, has a gradient (of zero) where all residuals are zero.
        norm: Tensor = torch.linalg.vector_norm(self._residual(outcome, context), dim=1)
        return -norm / math.sqrt(self.outcomes)

    def _residual(self, outcome: Tensor, context: Tensor) -> Tensor:
        """The residuals (n, outcome); the reward is minus their root mean square."""
        return (outcome - context) / torch.from_numpy(self.scale).to(outcome)

    def _in_units(self, action: Tensor) -> Tensor:
        low, high = (torch.from_numpy(bound).to(action) for bound in (self.low, self.high))
        return low + (action + 1) / 2 * (high - low)

    def _jacobian(self, state: Array, action: Array, outcome: Array) -> Array:
        """Derivatives with respect to the action (n, outcome, parameter); see `HasJacobian`."""
        wanted = (self.outcomes, len(self.low))
        rows = [
            _derivative(self._given_jacobian(p.copy()), wanted, "jacobian", p)
            for p in self.parameters(action)
        ]
        return np.reshape(rows, (len(action), *wanted)) * (self.high - self.low) / 2

    def _vjp(
        self, state: Array, action: Array, outcome: Array, cotangent: Array
    ) -> tuple[Array, Array]:
        """Cotangents of the states and of the actions (n, parameter); see `HasVjp`."""
        if self._given_vjp is None:
            slopes = self._jacobian(state, action, outcome)
            return np.zeros_like(state), np.einsum("no,noa->na", cotangent, slopes)
        rows = [
            _derivative(self._given_vjp(p.copy(), c.copy()), self.low.shape, "vjp", p)
            for p, c in zip(self.parameters(action), cotangent, strict=True)
        ]
        products: Array = np.reshape(rows, action.shape) * (self.high - self.low) / 2
        return np.zeros_like(state), products

    def _twin(self, state: Tensor, action: Tensor) -> Tensor:
        """The outcomes (n, outcome) by the user's twin; see `HasTwin`."""
        outcome = self._given_twin(self._in_units(action))
        return _shaped(outcome, (len(action), self.outcomes), "the twin")


def _names(given: Sequence[str] | None, what: str, count: int) -> list[str]:
    if given is None:
        return [what] if count == 1 else [f"{what} {number}" for number in range(1, count + 1)]
    names = [given] if isinstance(given, str) else list(given)
    if len(names) != count or not all(isinstance(name, str) for name in names):
        raise InvalidOptionError(
            f"{what}_names must be {count} texts, one for each entry, not {given!r}"
        )
    plain = [name_of(label) for label in names]
    if twice := [name for name in plain if plain.count(name) > 1]:
        raise InvalidOptionError(f"{what}_names has {twice[0]!r} more than once, units aside")
    return names


def _shaped(found: Tensor, wanted: tuple[int, ...], name: str) -> Tensor:
    if found.shape != wanted:
        raise EnvironmentFailedError(
            f"{name} gave a tensor of shape {tuple(found.shape)}; {wanted} is needed"
        )
    return found


def _derivative(result: Any, wanted: tuple[int, ...], name: str, parameters: Vector) -> Array:
    found = numbers(result)
    if found.shape != wanted:
        raise EnvironmentFailedError(
            f"{name} gave an array of shape {found.shape}; {wanted} is needed"
        )
    if not np.isfinite(found).all():
        raise EnvironmentFailedError(
            f"{name} gave a NaN or an infinity at the parameters {parameters.tolist()}"
        )
    return found


def _bounds(low: ArrayLike, high: ArrayLike) -> tuple[Vector, Vector]:
    least, largest = np.asarray(low, np.float64), np.asarray(high, np.float64)
    if least.ndim != 1 or least.shape != largest.shape or not len(least):
        raise InvalidOptionError(
            f"low and high must be vectors of one length, not of shapes {least.shape} and "
            f"{largest.shape}"
        )
    if not (np.isfinite(largest - least).all() and (least < largest).all()):
        raise InvalidOptionError(
            f"low = {least.tolist()} must be finite and below high = {largest.tolist()}"
        )
    return least.copy(), largest.copy()


def _contexts(contexts: ArrayLike) -> Array:
    found = np.array(contexts, np.float64)
    if found.ndim != 2 or 0 in found.shape or not np.isfinite(found).all():
        raise InvalidOptionError(
            f"contexts must be a finite array (contexts, context), not one of shape {found.shape}"
            + ("" if np.isfinite(found).all() else " with NaN or infinite entries")
        )
    return found


def _members(count: int, pool: ContextPool) -> NDArray[np.bool_]:
    """Flags (count,) of the contexts in a pool."""
    if pool not in get_args(ContextPool):
        raise InvalidOptionError(
            f"pool must be one of {', '.join(get_args(ContextPool))}, not {pool!r}"
        )
    if pool == "all":
        return np.ones(count, bool)
    if count < HELD_OUT_EVERY:
        raise InvalidOptionError(
            f"pool = {pool!r} needs {HELD_OUT_EVERY} contexts or more, of which every "
            f"{HELD_OUT_EVERY}th is held out; there are {count}"
        )
    held_out: NDArray[np.bool_] = np.arange(count) % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
    return held_out if pool == "held-out" else ~held_out


def _scale(scale: ArrayLike, outcomes: int) -> Vector:
    found = np.asarray(scale, np.float64)
    if found.shape not in ((), (1,), (outcomes,)):
        raise InvalidOptionError(
            f"scale must be a number or of shape ({outcomes},), not {found.shape}"
        )
    if not (np.isfinite(found).all() and (found > 0).all()):
        raise InvalidOptionError(f"scale must be finite and above 0, not {found.tolist()}")
    return np.full(outcomes, found)
