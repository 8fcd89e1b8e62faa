"""Polishing the actions that a policy proposed, by a few damped Gauss-Newton steps a case.

Levenberg-Marquardt with the damping of Nielsen, as in Madsen, Nielsen and Tingleff 2004, "Methods
for non-linear least squares problems", algorithm 3.16. With a prior it finds the most probable
action (Tarantola and Valette 1982, doi:10.1029/RG020i002p00219).
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nondiff.black_box import BlackBox, Meter, failed_rows
from nondiff.black_box.env import checked
from nondiff.errors import IncompatibleStrategyError, InvalidOptionError

Array = NDArray[np.float64]
Rows = NDArray[np.intp]

DAMPING = 1e-2  # tau of algorithm 3.16: at the start, over the largest diagonal entry of J'J


@runtime_checkable
class LeastSquares(Protocol):
    """A black box of one stateless step whose reward is minus the RMS of residuals."""

    jacobian_cost: int

    def jacobian(self, state: Array, action: Array, outcome: Array) -> Array:
        """The Jacobians (n, outcome, action) at outcomes without NaN."""
        ...

    def residual(self, outcome: Tensor, context: Tensor) -> Tensor:
        """The residuals (n, residual), differentiable, a row from its own rows alone."""
        ...


def refine(
    box: BlackBox, context: Array, action: Array, calls: int = 10, prior: Array | None = None
) -> tuple[Array, Array, NDArray[np.int64]]:
    """Improve each action with a few calls of its own; none gets worse.

    A proposal whose run fails has no residual to start from, and stays.

    Args:
        box: a `LeastSquares`.
        context: (n, context) what each case is about.
        action: (n, action) the proposals, clipped to the Box.
        calls: most calls a case, the one that runs the proposal and its Jacobians included.
        prior: (action, action), an invertible factor F of the covariance FF' of a Gaussian about 0
            that actions are drawn from. Then the search is for the most probable action, steps are
            damped in the coordinates z of action = Fz, and it is the sum of squares of residuals
            and z, not the misfit, that never gets worse.

    Returns:
        The actions (n, action), their misfits (n,), which are minus the rewards, and the calls
        used (n,).

    Raises:
        IncompatibleStrategyError: the black box is no `LeastSquares`.
        InvalidOptionError: calls below 1, or another number of contexts than of actions.
        InvalidActionError: actions of the wrong shape, or not finite.
    """
    if calls < 1:
        raise InvalidOptionError(f"calls must be at least 1, not {calls}")
    if len(context) != len(action):
        raise InvalidOptionError(f"{len(action)} actions for {len(context)} contexts")
    meter = Meter(box, budget=calls * len(context))
    search = _Search(meter, context, checked(box, action, (len(context),)), prior)
    while len(rows := search.affordable(calls)):
        search.linearise(rows[search.moved[rows]])
        search.step(rows)
    assert search.used.sum() == meter.calls
    return search.action, search.misfits(), search.used


def _least_squares(box: BlackBox) -> LeastSquares:
    stateless = box.initial(1, np.random.default_rng(0)).state.shape[1] == 0
    if isinstance(box, LeastSquares) and box.horizon == 1 and stateless:
        return box
    raise IncompatibleStrategyError(
        f"{type(box).__name__} can't be refined: that takes one step without a state, a Jacobian "
        "and residuals"
    )


class _Search:
    """One search a row; rows that can't go on are no longer `alive`."""

    def __init__(self, meter: Meter, context: Array, action: Array, prior: Array | None) -> None:
        n, width = action.shape
        self._meter, self._problem = meter, _least_squares(meter.box)
        self._context = context
        self._basis = np.eye(width) if prior is None else prior
        self._prior_slopes = np.eye(width)[: 0 if prior is None else width]
        space = meter.box.action_space
        self._low, self._high = space.low.astype(np.float64), space.high.astype(np.float64)
        self.action, self.used = action.copy(), np.zeros(n, np.int64)
        self._outcome, self._residual = self._run(np.arange(n), action)
        self._slopes = np.zeros((*self._residual.shape, width))
        self._damping, self._growth = np.full(n, np.nan), np.full(n, 2.0)
        self.moved, self._alive = np.ones(n, bool), ~failed_rows(self._outcome)

    def affordable(self, calls: int) -> Rows:
        """The rows that can pay for a run, and for a Jacobian if they moved since their last."""
        cost = 1 + self._problem.jacobian_cost * self.moved
        return np.flatnonzero(self._alive & (self.used + cost <= calls))

    def linearise(self, rows: Rows) -> None:
        """The slopes (rows, residual, z) of the residuals where the rows are, by the chain rule."""
        if not len(rows):
            return
        state, outcome = np.zeros((len(rows), 0)), self._outcome[rows]
        jacobian = self._meter.jacobian(state, self.action[rows], outcome)
        self.used[rows] += self._problem.jacobian_cost
        outer = torch.func.vmap(torch.func.jacrev(self._one_residual))(
            *map(torch.from_numpy, (outcome, self._context[rows]))
        )
        of_data = outer.numpy() @ jacobian @ self._basis
        of_prior = np.broadcast_to(self._prior_slopes, (len(rows), *self._prior_slopes.shape))
        self._slopes[rows] = np.concatenate([of_data, of_prior], axis=1)
        self.moved[rows] = False
        self._alive[rows] = np.isfinite(self._slopes[rows]).all(axis=(1, 2))
        fresh = rows[np.isnan(self._damping[rows])]
        largest = np.square(self._slopes[fresh]).sum(axis=1).max(axis=1)
        self._damping[fresh] = DAMPING * np.maximum(largest, np.finfo(float).tiny)

    def step(self, rows: Rows) -> None:
        """Run the black box a damped step away, and keep what is better."""
        rows = rows[self._alive[rows]]
        change, expected = self._proposed(rows)
        trial = np.clip(self.action[rows] + change, self._low, self._high)
        stuck = (trial == self.action[rows]).all(axis=1)  # the damping has outgrown the step
        self._alive[rows[stuck]] = False
        rows, trial, expected = rows[~stuck], trial[~stuck], expected[~stuck]
        if not len(rows):
            return
        outcome, found = self._run(rows, trial)
        gain = np.square(self._residual[rows]).sum(axis=1) - np.square(found).sum(axis=1)
        better = gain > 0  # not where it failed: that is NaN
        self._adapt(rows, better, gain / np.maximum(expected, np.finfo(float).tiny))
        kept = rows[better]
        self.action[kept], self.moved[kept] = trial[better], True
        self._outcome[kept], self._residual[kept] = outcome[better], found[better]

    def _proposed(self, rows: Rows) -> tuple[Array, Array]:
        """Changes (rows, action) that solve (J'J + mu) z = -J'r, and the gains (rows,) expected."""
        slopes, mu = self._slopes[rows], self._damping[rows][:, None]
        gradient = np.einsum("nrz,nr->nz", slopes, self._residual[rows])
        normal = np.einsum("nry,nrz->nyz", slopes, slopes)
        normal += mu[:, None] * np.eye(normal.shape[1])
        step = -np.linalg.solve(normal, gradient[..., None])[..., 0]
        return step @ self._basis.T, np.einsum("nz,nz->n", step, mu * step - gradient)

    def misfits(self) -> Array:
        """Minus the rewards (n,) of the actions."""
        reward = np.full(len(self.action), self._meter.box.failure_reward)
        rows = np.flatnonzero(~failed_rows(self._outcome))
        state = np.zeros((len(rows), 0))
        parts = (state, self.action[rows], self._outcome[rows], self._context[rows])
        with torch.no_grad():
            reward[rows] = self._meter.box.reward(*map(torch.from_numpy, parts)).numpy()
        return -reward

    def _run(self, rows: Rows, action: Array) -> tuple[Array, Array]:
        """The outcomes of actions (rows, action), and their residuals, NaN where they failed."""
        outcome = self._meter.transition(np.zeros((len(rows), 0)), action)
        self.used[rows] += 1
        of_data = self._problem.residual(*map(torch.from_numpy, (outcome, self._context[rows])))
        of_prior = np.linalg.solve(self._basis, action.T).T @ self._prior_slopes.T
        return outcome, np.concatenate([of_data.numpy(), of_prior], axis=1)

    def _one_residual(self, outcome: Tensor, context: Tensor) -> Tensor:
        """The residuals (residual,) of one row."""
        return self._problem.residual(outcome[None], context[None])[0]

    def _adapt(self, rows: Rows, better: NDArray[np.bool_], ratio: Array) -> None:
        """Damp less after a step that went as expected, more and more after failed ones."""
        mu, nu = self._damping[rows], self._growth[rows]
        ratio = np.where(better, np.minimum(ratio, 1.0), 0.0)  # from 1 on the factor is the same
        lower = np.maximum(1 / 3, 1 - (2 * ratio - 1) ** 3)
        self._damping[rows] = np.where(better, mu * lower, mu * nu)
        self._growth[rows] = np.where(better, 2.0, 2 * nu)
