"""Gauss-Newton polishing: never worse, and never more calls than were given."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from nondiff.agents.pathwise.refinement import refine
from nondiff.black_box import BlackBox, Start
from nondiff.envs.surface_waves.surface_waves import DEVIATION, REACH, SurfaceWaves
from nondiff.errors import (
    IncompatibleStrategyError,
    InvalidActionError,
    InvalidOptionError,
)

Array = NDArray[np.float64]
CASES = 8


class CountedSurfaceWaves(SurfaceWaves):
    """SurfaceWaves that counts its rows itself."""

    def __init__(self, jacobian_cost: int = 1) -> None:
        super().__init__(6, "held-out")
        self.jacobian_cost = jacobian_cost
        self.rows: Counter[str] = Counter()

    def transition(self, state: Array, action: Array) -> Array:
        self.rows["transition"] += len(action)
        return super().transition(state, action)

    def jacobian(self, state: Array, action: Array, outcome: Array) -> Array:
        self.rows["jacobian"] += len(action)
        return super().jacobian(state, action, outcome)


class Linear(BlackBox):
    """The outcome is a matrix times the action."""

    failure_reward = -9.0
    jacobian_cost = 1
    matrix = np.array([[2.0, 0.5], [0.3, 1.0], [1.0, -1.0]])

    def __init__(self) -> None:
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.observation_space = spaces.Box(-9.0, 9.0, (3,), np.float32)

    def initial(self, n: int, rng: np.random.Generator) -> Start:
        return Start(np.zeros((n, 0)), rng.uniform(-0.5, 0.5, (n, 3)))

    def transition(self, state: Array, action: Array) -> Array:
        return action @ self.matrix.T

    def observation(self, state: Tensor, context: Tensor) -> Tensor:
        return context

    def residual(self, outcome: Tensor, context: Tensor) -> Tensor:
        return (outcome - context).flip(1)[:, :2] * 10  # neither square nor diagonal

    def reward(self, state: Tensor, action: Tensor, outcome: Tensor, context: Tensor) -> Tensor:
        return -self.residual(outcome, context).square().mean(dim=1).sqrt()

    def jacobian(self, state: Array, action: Array, outcome: Array) -> Array:
        return np.broadcast_to(self.matrix, (len(action), 3, 2))


class WithState(Linear):
    """Its starts have a state, of which a refinement knows nothing."""

    def initial(self, n: int, rng: np.random.Generator) -> Start:
        return Start(rng.uniform(size=(n, 1)), super().initial(n, rng).context)


class NoResidual(BlackBox):
    """Rewards alone."""

    failure_reward = -1.0

    def __init__(self) -> None:
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def initial(self, n: int, rng: np.random.Generator) -> Start:
        return Start(np.zeros((n, 0)), np.zeros((n, 1)))

    def transition(self, state: Array, action: Array) -> Array:
        return action

    def observation(self, state: Tensor, context: Tensor) -> Tensor:
        return context

    def reward(self, state: Tensor, action: Tensor, outcome: Tensor, context: Tensor) -> Tensor:
        return -action.square().sum(dim=1)


def contexts(box: SurfaceWaves) -> Array:
    return box.pool().context[:CASES]


def misfits(box: BlackBox, context: Array, action: Array) -> Array:
    state = np.zeros((len(action), 0))
    parts = (state, action, box.transition(state, action), context)
    return -box.reward(*map(torch.from_numpy, parts)).numpy()


@pytest.mark.parametrize(("calls", "jacobian_cost"), [(1, 1), (2, 1), (9, 1), (10, 1), (12, 4)])
def test_calls_are_counted_and_never_exceeded(calls: int, jacobian_cost: int) -> None:
    box = CountedSurfaceWaves(jacobian_cost)
    context = contexts(box)
    _, _, used = refine(box, context, np.zeros((CASES, 6)), calls)
    assert used.max() <= calls
    assert used.sum() == box.rows["transition"] + jacobian_cost * box.rows["jacobian"]
    assert box.rows["transition"] >= CASES
    assert (box.rows["jacobian"] > 0) == (calls >= 2 + jacobian_cost)


def test_ten_calls_fit_most_curves_from_the_prior_mean() -> None:
    box = SurfaceWaves(6, "held-out")
    context, start = contexts(box), np.zeros((CASES, 6))
    action, found, used = refine(box, context, start)
    np.testing.assert_allclose(found, misfits(box, context, action), rtol=1e-12)
    assert (found < misfits(box, context, start)).all()
    assert (found <= 1.2).mean() > 0.5
    assert (start == 0).all(), "the proposals were changed in place"
    assert used.min() >= 9


def test_more_calls_never_fit_worse() -> None:
    box = SurfaceWaves(6, "held-out")
    by_calls = [refine(box, contexts(box), np.zeros((CASES, 6)), n)[1] for n in range(1, 12)]
    assert (np.diff(by_calls, axis=0) <= 0).all()
    assert (by_calls[-1] < by_calls[0]).all()


def test_a_row_is_the_same_in_any_batch() -> None:
    box = SurfaceWaves(6, "held-out")
    together = refine(box, contexts(box), np.zeros((CASES, 6)))[0]
    alone = refine(box, contexts(box)[3:4], np.zeros((1, 6)))[0]
    np.testing.assert_allclose(together[3:4], alone, atol=1e-9)


def failing_action(box: SurfaceWaves) -> Array:
    """An action of SurfaceWaves without a dispersion curve."""
    tried = np.random.default_rng(0).choice([-1.0, 1.0], (64, 6))
    failed = np.isnan(box.transition(np.zeros((64, 0)), tried)).any(axis=1)
    return tried[np.flatnonzero(failed)[0]]


def test_a_proposal_that_fails_stays_and_costs_one_call() -> None:
    box = SurfaceWaves(6, "held-out")
    proposals = np.zeros((2, 6))
    proposals[0] = failing_action(box)
    action, found, used = refine(box, contexts(box)[:2], proposals)
    np.testing.assert_array_equal(action[0], proposals[0])
    assert found[0] == -box.failure_reward
    assert used[0] == 1
    assert found[1] < 5
    assert used[1] > 5


def test_a_linear_black_box_is_solved() -> None:
    box = Linear()
    context = box.initial(5, np.random.default_rng(0)).context / 5
    action, found, used = refine(box, context, np.zeros((5, 2)), calls=10_000)
    expected = np.linalg.solve(box.matrix[[2, 1]], context[:, [2, 1]].T).T
    np.testing.assert_allclose(action, expected, atol=1e-6)
    assert (found < 1e-4).all()
    assert used.max() < 200, "it went on where nothing could be gained"


def test_a_prior_leads_to_the_most_probable_action() -> None:
    box = Linear()
    context = box.initial(5, np.random.default_rng(0)).context
    factor = np.array([[0.1, 0.0], [0.05, 0.02]])
    action, _, _ = refine(box, context, np.zeros((5, 2)), 40, factor)
    rows = 10 * box.matrix[[2, 1]]
    precision = rows.T @ rows + np.linalg.inv(factor @ factor.T)
    expected = np.linalg.solve(precision, rows.T @ (10 * context[:, [2, 1]]).T).T
    np.testing.assert_allclose(action, expected, atol=1e-6)


def test_the_prior_of_surface_waves_keeps_models_likely() -> None:
    box = SurfaceWaves(10, "held-out")
    factor = box.prior_factor / (REACH * DEVIATION)
    context, start = contexts(box), np.zeros((CASES, 10))
    free, _, _ = refine(box, context, start, 21)
    likely, found, _ = refine(box, context, start, 21, factor)
    lengths = [np.square(np.linalg.solve(factor, a.T)).sum(axis=0) for a in (free, likely)]
    assert (lengths[1] < lengths[0]).all()
    assert lengths[1].mean() < 2 * 10  # a chi-squared of 10 degrees of freedom
    assert np.median(found) < 1.2


def test_what_cannot_be_refined_is_named() -> None:
    box = SurfaceWaves(6, "held-out")
    with pytest.raises(IncompatibleStrategyError, match="NoResidual"):
        refine(NoResidual(), np.zeros((1, 1)), np.zeros((1, 1)))
    with pytest.raises(IncompatibleStrategyError, match="without a state"):
        refine(WithState(), np.zeros((1, 3)), np.zeros((1, 2)))
    with pytest.raises(InvalidOptionError, match="not 0"):
        refine(box, contexts(box), np.zeros((CASES, 6)), 0)
    with pytest.raises(InvalidOptionError, match="3 actions for 8 contexts"):
        refine(box, contexts(box), np.zeros((3, 6)))
    with pytest.raises(InvalidActionError, match="shape"):
        refine(box, contexts(box), np.zeros((CASES, 5)))
    with pytest.raises(InvalidActionError, match="not finite"):
        refine(box, contexts(box), np.full((CASES, 6), np.nan))


def test_the_residuals_of_surface_waves_are_those_of_its_reward() -> None:
    box = SurfaceWaves(6, "held-out")
    context, start = contexts(box), np.zeros((CASES, 6))
    outcome = torch.from_numpy(box.transition(start[:, :0], start))
    residual = box.residual(outcome, torch.from_numpy(context))
    expected = misfits(box, context, start)
    np.testing.assert_allclose(residual.square().mean(dim=1).sqrt().numpy(), expected)


def test_sampled_models_follow_the_prior() -> None:
    box = SurfaceWaves(6, "held-out")
    models = box.sample_models(4000, np.random.default_rng(0))
    logs = np.log(models / box.mean_vs)
    assert models.shape == (4000, 6)
    assert np.abs(logs.mean(axis=0)).max() < 5 * DEVIATION / np.sqrt(4000)
    np.testing.assert_allclose(
        np.cov(logs.T), box.prior_factor @ box.prior_factor.T, atol=0.1 * DEVIATION**2
    )
    assert box.sample_models(0, np.random.default_rng(0)).shape == (0, 6)
