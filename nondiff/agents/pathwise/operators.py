"""Differentiable operators that stand for a black box in a loss, everything passing the meter."""

from __future__ import annotations

from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nondiff.agents.pathwise.configs import Autodiff, Direct, FiniteDifference, Manual
from nondiff.black_box import BlackBox, HasJacobian, HasTwin, HasVjp, Meter, failed_rows

Array = NDArray[np.float64]


class Operator(Protocol):
    """The map from state and action to outcome, with a gradient."""

    cost: int  # calls that a row is charged for, backward pass included

    def __call__(self, state: Tensor, action: Tensor) -> Tensor:
        """The outcomes (n, outcome); a row that failed is NaN and passes no gradient back."""
        ...


class _Backward(Protocol):
    def cotangents(
        self, state: Array, action: Array, outcome: Array, cotangent: Array
    ) -> tuple[Array, Array]: ...


class _BlackBoxCall(torch.autograd.Function):
    """The black box forward, some estimate of its vector-Jacobian product backward."""

    @staticmethod
    def forward(
        ctx: Any, state: Tensor, action: Tensor, meter: Meter, backward: _Backward
    ) -> Tensor:
        inputs = [part.detach().cpu().double().numpy() for part in (state, action)]
        outcome = meter.transition(*inputs)
        ctx.arrays, ctx.estimate = (*inputs, outcome), backward
        return torch.from_numpy(outcome).to(action)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> Any:
        state, action, outcome = ctx.arrays
        cotangent = cotangents[0].cpu().double().numpy()
        rows = ~failed_rows(outcome) & cotangent.any(axis=1)
        found = np.zeros_like(state), np.zeros_like(action)
        if rows.any():
            parts = [array[rows] for array in (state, action, outcome, cotangent)]
            found[0][rows], found[1][rows] = ctx.estimate.cotangents(*parts)
        by_state, by_action = (torch.from_numpy(part).to(cotangents[0]) for part in found)
        return by_state, by_action, None, None


def _call(state: Tensor, action: Tensor, meter: Meter, backward: _Backward) -> Tensor:
    return cast(Tensor, _BlackBoxCall.apply(state, action, meter, backward))  # type: ignore[no-untyped-call]


class ManualOperator:
    """The black box with its hand-written vector-Jacobian product."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self.cost = 1 + cast(HasVjp, meter.box).vjp_cost

    def __call__(self, state: Tensor, action: Tensor) -> Tensor:
        return _call(state, action, self._meter, self)

    def cotangents(
        self, state: Array, action: Array, outcome: Array, cotangent: Array
    ) -> tuple[Array, Array]:
        return self._meter.vjp(state, action, outcome, cotangent)


class DifferenceOperator:
    """The black box with central differences; a difference to a failed row counts as zero.

    Args:
        meter: what calls pass through.
        step: in halves of the action Box's width; for a state's entry times its size, at least 1.
    """

    def __init__(self, meter: Meter, step: float) -> None:
        self._meter, self._step = meter, step
        space = meter.box.action_space
        self._low, self._high = space.low.astype(np.float64), space.high.astype(np.float64)
        width = meter.box.initial(1, np.random.default_rng(0)).state.shape[1]
        # A one-step episode's state is where it began: nothing comes before it.
        self._states = width if meter.box.horizon > 1 else 0
        self.cost = 1 + 2 * (self._states + self._low.size)

    def __call__(self, state: Tensor, action: Tensor) -> Tensor:
        return _call(state, action, self._meter, self)

    def cotangents(
        self, state: Array, action: Array, outcome: Array, cotangent: Array
    ) -> tuple[Array, Array]:
        by_state, by_action = np.zeros_like(state), np.zeros_like(action)
        for j in range(self._states):
            step = np.zeros_like(state)
            step[:, j] = self._step * np.maximum(1.0, np.abs(state[:, j]))
            high, low = self._sides((state + step, action), (state - step, action))
            by_state[:, j] = self._slope(high, low, 2 * step[:, j], cotangent)
        for j in range(action.shape[1]):
            above, under = self._neighbours(action, j)
            high, low = self._sides((state, above), (state, under))
            by_action[:, j] = self._slope(high, low, (above - under)[:, j], cotangent)
        return by_state, by_action

    def slopes(self, state: Array, action: Array) -> Array:
        """The Jacobians (n, outcome, action); NaN where a neighbour failed."""
        columns = []
        for j in range(action.shape[1]):
            above, under = self._neighbours(action, j)
            high, low = self._sides((state, above), (state, under))
            columns.append((high - low) / (above - under)[:, j : j + 1])
        return np.stack(columns, axis=2)

    def _neighbours(self, action: Array, j: int) -> tuple[Array, Array]:
        step = np.zeros_like(action)
        step[:, j] = self._step * (self._high[j] - self._low[j]) / 2
        above, under = (np.clip(action + s, self._low, self._high) for s in (step, -step))
        return above, under

    def _sides(self, high: tuple[Array, Array], low: tuple[Array, Array]) -> list[Array]:
        both = [np.concatenate(parts) for parts in zip(high, low, strict=True)]
        return np.split(self._meter.transition(*both), 2)

    def _slope(self, high: Array, low: Array, distance: Array, cotangent: Array) -> Array:
        slope = ((high - low) * cotangent).sum(axis=1) / distance
        return np.nan_to_num(slope, nan=0.0)  # type: ignore[no-any-return]


class AutodiffOperator:
    """The black box's twin."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self.cost = max(1, cast(HasTwin, meter.box).twin_cost)  # as the meter charges

    def __call__(self, state: Tensor, action: Tensor) -> Tensor:
        # A twin may hold constants, and these are on the CPU.
        return self._meter.twin(state.cpu(), action.cpu()).to(action.device)


def make_operator(config: Direct, meter: Meter) -> Operator:
    """The operator that a configuration names."""
    if isinstance(config, FiniteDifference):
        return DifferenceOperator(meter, config.step)
    return AutodiffOperator(meter) if isinstance(config, Autodiff) else ManualOperator(meter)


class Linearizer(Protocol):
    """The map from state and action to outcome and Jacobian."""

    cost: int  # calls that a row is charged for

    def __call__(self, state: Array, action: Array) -> tuple[Array, Array]:
        """Outcomes (n, outcome), NaN where a row failed, and Jacobians (n, outcome, action)."""
        ...


def jacobians(meter: Meter, state: Array, action: Array, outcome: Array) -> Array:
    """The hand-written Jacobians (n, outcome, action); NaN where a row failed, which is free."""
    slopes = np.full((*outcome.shape, action.shape[1]), np.nan)
    good = ~failed_rows(outcome)
    if good.any():
        slopes[good] = meter.jacobian(state[good], action[good], outcome[good])
    return slopes


class ManualLinearizer:
    """The black box with its hand-written Jacobian."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self.cost = 1 + cast(HasJacobian, meter.box).jacobian_cost

    def __call__(self, state: Array, action: Array) -> tuple[Array, Array]:
        outcome = self._meter.transition(state, action)
        return outcome, jacobians(self._meter, state, action, outcome)


class DifferenceLinearizer:
    """The black box with central differences."""

    def __init__(self, meter: Meter, step: float) -> None:
        self._meter, self._operator = meter, DifferenceOperator(meter, step)
        self.cost = self._operator.cost

    def __call__(self, state: Array, action: Array) -> tuple[Array, Array]:
        outcome = self._meter.transition(state, action)
        return outcome, self._operator.slopes(state, action)


class AutodiffLinearizer:
    """The black box's twin, with a backward pass for each entry of the outcome."""

    def __init__(self, meter: Meter) -> None:
        self._operator = AutodiffOperator(meter)
        self.cost = self._operator.cost

    def __call__(self, state: Array, action: Array) -> tuple[Array, Array]:
        varied = torch.from_numpy(action).requires_grad_()
        outcome = self._operator(torch.from_numpy(state), varied)
        rows = [
            torch.autograd.grad(column.nan_to_num().sum(), varied, retain_graph=True)[0]
            for column in outcome.unbind(dim=1)
        ]
        return outcome.detach().numpy(), torch.stack(rows, dim=1).numpy()


def gives_jacobians(config: Direct, box: BlackBox) -> bool:
    """Whether a configuration has whole Jacobians of a black box, and not products alone."""
    return not isinstance(config, Manual) or isinstance(box, HasJacobian)


def make_linearizer(config: Direct, meter: Meter) -> Linearizer:
    """The Jacobians that a configuration names."""
    if isinstance(config, FiniteDifference):
        return DifferenceLinearizer(meter, config.step)
    if isinstance(config, Autodiff):
        return AutodiffLinearizer(meter)
    return ManualLinearizer(meter)
