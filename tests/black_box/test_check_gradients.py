"""check_gradients: right gradients agree, a wrong one is found and its place is named."""

from __future__ import annotations

import json
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from conftest import Command
from gymnasium import spaces

from nondiff.agents.pathwise.gradient_check import (
    DIFFERENCES,
    MAX_OUTCOMES,
    GradientCheck,
    PairCheck,
    check_gradients,
)
from nondiff.black_box import BlackBox, BlackBoxEnv, Start
from nondiff.errors import EnvironmentFailedError, InvalidOptionError

WRONG_OUTCOME, WRONG_ACTION = 2, 1


class Program(BlackBox):
    """Products of a smooth function of the action with constants; fails where the first is low.

    Args:
        size: of the outcome.
        low: of the first action, below which it fails.
        bounds: of the actions.
    """

    failure_reward = -10.0

    def __init__(self, size: int = 4, low: float = -2.0, bounds: tuple[float, float] = (-1, 1)):
        self.action_space = spaces.Box(*bounds, (3,), np.float32)
        self.observation_space = spaces.Box(-1, 1, (1,))
        self._weights = np.random.default_rng(5).uniform(1, 2, (size, 3))
        self._low = low
        self.seen: list[np.ndarray] = []

    def initial(self, n: int, rng: np.random.Generator) -> Start:
        return Start(np.zeros((n, 0)), rng.uniform(-1, 1, (n, 1)))

    def transition(self, state: Any, action: Any) -> Any:
        self.seen.append(action)
        outcome = np.sin(action) @ self._weights.T
        outcome[action[:, 0] < self._low] = np.nan
        return outcome

    def observation(self, state: Any, context: Any) -> Any:
        return context

    def reward(self, state: Any, action: Any, outcome: Any, context: Any) -> Any:
        return -outcome.square().mean(dim=1)


class WithJacobian(Program):
    jacobian_cost = 1

    def jacobian(self, state: Any, action: Any, outcome: Any) -> Any:
        return self._weights * np.cos(action)[:, None, :]


class WithTwin(WithJacobian):
    twin_cost = 0

    def twin(self, state: Any, action: Any) -> Any:
        return torch.sin(action) @ torch.from_numpy(self._weights).T


class WrongVjp(WithTwin):
    """Its vjp is a tenth too large in one entry, where the last action is positive."""

    vjp_cost = 2

    def vjp(self, state: Any, action: Any, outcome: Any, cotangent: Any) -> Any:
        jacobian = self.jacobian(state, action, outcome)
        wrong = action[:, 2] > 0
        jacobian[wrong, WRONG_OUTCOME, WRONG_ACTION] *= 1.1
        return np.zeros_like(state), np.einsum("no,noa->na", cotangent, jacobian)


class Walk(WithJacobian):
    """Many steps: the state is added to what the action makes; the derivative ends with it."""

    horizon = 6

    def __init__(self) -> None:
        super().__init__(3)

    def initial(self, n: int, rng: np.random.Generator) -> Start:
        return Start(np.zeros((n, 3)), np.zeros((n, 1)))

    def transition(self, state: Any, action: Any) -> Any:
        return super().transition(state, action) * (1 + state.sum(axis=1, keepdims=True) ** 2)

    def jacobian(self, state: Any, action: Any, outcome: Any) -> Any:
        return super().jacobian(state, action, outcome)  # right at the first state alone


def pair(check: GradientCheck, first: str, second: str) -> PairCheck:
    (found,) = [one for one in check.pairs if (one.first, one.second) == (first, second)]
    return found


def test_right_gradients_agree_in_every_pair() -> None:
    check = check_gradients(WithTwin(), n=40)
    assert [(one.first, one.second) for one in check.pairs] == [
        ("jacobian", "twin"),
        ("jacobian", DIFFERENCES),
        ("twin", DIFFERENCES),
    ]
    assert check.most_disagreeing() == 0
    assert pair(check, "jacobian", "twin").largest < 1e-14
    assert 1e-9 < pair(check, "jacobian", DIFFERENCES).largest < 1e-6
    assert (check.points, check.failed) == (40, 0)


def test_a_wrong_vjp_is_found_and_its_place_named() -> None:
    box = WrongVjp()
    check = check_gradients(box, n=60)
    for other in ("jacobian", "twin", DIFFERENCES):
        found = pair(check, "vjp", other)
        # One of the twelve entries, where the last action is positive: about half the points.
        assert 0.3 / 12 < found.disagreeing < 0.7 / 12
        assert found.median < 1e-6
        assert found.largest == pytest.approx(0.1, rel=0.5)
        assert (found.worst.outcome, found.worst.action) == (WRONG_OUTCOME, WRONG_ACTION)
        assert found.worst.first == pytest.approx(1.1 * found.worst.second, rel=1e-5)
        drawn = box.seen[0]
        assert drawn[found.worst.point, 2] > 0
        right = box._weights[WRONG_OUTCOME, WRONG_ACTION] * np.cos(
            drawn[found.worst.point, WRONG_ACTION]
        )
        assert found.worst.second == pytest.approx(right, rel=1e-5)
    assert pair(check, "jacobian", "twin").disagreeing == 0


def test_a_larger_tolerance_accepts_it() -> None:
    assert check_gradients(WrongVjp(), n=20, tolerance=0.2).most_disagreeing() == 0


def test_states_of_many_steps_are_met_on_walks() -> None:
    check = check_gradients(Walk(), n=60)
    found = pair(check, "jacobian", DIFFERENCES)
    assert found.disagreeing > 0.5  # it is right where episodes begin, a sixth of the points
    assert found.disagreeing < 0.95


def test_failed_rows_are_counted_and_left_out() -> None:
    box = WithTwin(low=0.0)
    check = check_gradients(box, n=100)
    drawn = box.seen[0]
    assert check.failed == (drawn[:, 0] < 0.001).sum()
    assert 30 < check.failed < 70
    assert check.most_disagreeing() == 0
    numbers = {one.worst.point for one in check.pairs}
    assert all(drawn[number, 0] > 0 for number in numbers)


def test_a_point_beside_a_failure_is_left_out() -> None:
    few = check_gradients(WithJacobian(low=0.0), n=100, step=0.4)
    assert few.failed > check_gradients(WithJacobian(low=0.0), n=100).failed
    assert np.isfinite(pair(few, "jacobian", DIFFERENCES).largest)


def test_all_points_that_fail_are_an_error() -> None:
    with pytest.raises(EnvironmentFailedError, match="failed at each of 10 points"):
        check_gradients(WithJacobian(low=3.0), n=10)


class NanVjp(WrongVjp):
    def vjp(self, state: Any, action: Any, outcome: Any, cotangent: Any) -> Any:
        by_state, by_action = super().vjp(state, action, outcome, cotangent)
        by_action[3, 0] = np.nan
        return by_state, by_action


def test_a_gradient_that_is_not_finite_disagrees_and_is_still_json() -> None:
    check = check_gradients(NanVjp(), n=10)
    found = pair(check, "vjp", "jacobian")
    assert found.largest == float("inf")
    assert (found.worst.point, found.worst.action) == (3, 0)
    data = json.loads(json.dumps(check.to_json(), allow_nan=False))
    assert data["pairs"][0]["largest"] is None
    assert data["pairs"][0]["worst"]["first"] is None


class FailingTwin(WithTwin):
    def twin(self, state: Any, action: Any) -> Any:
        outcome = super().twin(state, action)
        return torch.where(action[:, :1] > 0.5, torch.nan, outcome)


def test_a_twin_that_fails_where_the_program_does_not_disagrees() -> None:
    found = pair(check_gradients(FailingTwin(), n=40), "twin", DIFFERENCES)
    assert 0.05 < found.disagreeing < 0.5


class ConstantTwin(WithTwin):
    def twin(self, state: Any, action: Any) -> Any:
        return super().twin(state, action.detach())


def test_a_twin_that_is_cut_off_from_the_action_disagrees() -> None:
    found = pair(check_gradients(ConstantTwin(), n=10), "twin", DIFFERENCES)
    assert found.disagreeing > 0.9


def test_every_call_is_charged_and_the_ledger_reported() -> None:
    ledger = check_gradients(WrongVjp(), n=10).ledger
    transitions, vjps, jacobians = 10 + 2 * 3 * 10, 4 * 10, 10
    assert ledger["meter/transition_rows"] == transitions
    assert ledger["meter/vjp_rows"] == vjps
    assert ledger["meter/twin_rows"] == 10
    twins = 10  # charged a call a row, though this one runs no program
    assert ledger["meter/calls"] == transitions + 2 * vjps + jacobians + twins


def test_of_a_large_outcome_some_entries_are_looked_at() -> None:
    box = WithJacobian(size=500)
    check = check_gradients(box, n=3)
    assert check.most_disagreeing() == 0
    assert check.ledger == check_gradients(WithJacobian(size=500), n=3).ledger
    many = check_gradients(WrongVjp(size=500), n=3).ledger
    assert many["meter/vjp_rows"] == 3 * MAX_OUTCOMES


@pytest.mark.parametrize("bounds", [(-1, 1), (2, 5), (-np.inf, np.inf)])
def test_actions_stay_within_the_box(bounds: tuple[float, float]) -> None:
    box = WithJacobian(bounds=bounds)
    assert check_gradients(box, n=200, step=0.3).most_disagreeing() <= 1
    low, high = bounds if np.isfinite(bounds[0]) else (-1, 1)
    seen = np.concatenate(box.seen)
    assert (seen >= low - 1e-12).all()
    assert (seen <= high + 1e-12).all()
    assert seen.min() < low + 0.05 * (high - low)
    assert seen.max() > high - 0.05 * (high - low)


def test_the_same_seed_gives_the_same_check() -> None:
    first, again, other = (check_gradients(WrongVjp(), n=10, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_it_takes_environments_too() -> None:
    assert check_gradients(BlackBoxEnv(WithTwin()), n=5) == check_gradients(WithTwin(), n=5)


def test_what_has_no_gradient_is_refused() -> None:
    with pytest.raises(InvalidOptionError, match="Program offers no gradient to check: it has no"):
        check_gradients(Program())
    env = gymnasium.make("CartPole-v1")
    with pytest.raises(InvalidOptionError, match="CartPole-v1 is no black box"):
        check_gradients(env)
    env.close()


@pytest.mark.parametrize(
    "bad",
    [
        {"n": 0},
        {"step": 0.0},
        {"step": 1.0},
        {"step": float("nan")},
        {"tolerance": 0.0},
        {"tolerance": float("nan")},
    ],
    ids=str,
)
def test_options_out_of_their_range_are_refused(bad: dict[str, Any]) -> None:
    name = "points" if "n" in bad else next(iter(bad))
    with pytest.raises(InvalidOptionError, match=f"{name} must be"):
        check_gradients(WithTwin(), **bad)


# The command


gymnasium.register("test_check_gradients/Right-v0", lambda: BlackBoxEnv(WithTwin()))
gymnasium.register("test_check_gradients/Wrong-v0", lambda: BlackBoxEnv(WrongVjp()))
RIGHT = ("--env", "test_check_gradients/Right-v0", "--points", 20)
WRONG = ("--env", "test_check_gradients/Wrong-v0", "--points", 20)


def test_the_command_prints_a_table(command: Command) -> None:
    answer = command("check-gradients", *WRONG)
    assert answer.code == 0, answer.err
    assert "test_check_gradients/Wrong-v0: gradients at 20 of 20 points (0 failed)" in answer.out
    line = next(line for line in answer.out.splitlines() if "vjp and jacobian" in line)
    assert f"outcome {WRONG_OUTCOME}, action {WRONG_ACTION}" in line


def test_the_command_prints_json(command: Command) -> None:
    answer = command("check-gradients", *WRONG, "--json", "--seed", 4, "--tolerance", 0.02)
    assert answer.code == 0, answer.err
    data = json.loads(answer.out)
    check = check_gradients(WrongVjp(), n=20, seed=4, tolerance=0.02)
    about = {"env": "test_check_gradients/Wrong-v0", "env_arguments": {}, "seed": 4}
    assert data == about | json.loads(json.dumps(check.to_json()))


@pytest.mark.parametrize(("env", "code"), [(RIGHT, 0), (WRONG, 1)], ids=["right", "wrong"])
def test_its_exit_code_tells(env: tuple[object, ...], code: int, command: Command) -> None:
    assert command("check-gradients", *env, "--max-disagreeing", 0.01).code == code
    assert command("check-gradients", *env, "--max-disagreeing", 0).code == code


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--env", "CartPole-v1"), "error: CartPole-v1 is no black box"),
        ((*RIGHT[:2], "--points", 0), "error: --points 0 is not from 1 to 1000000"),
        ((*RIGHT, "--max-disagreeing", 2), "error: --max-disagreeing 2.0 is not from 0 to 1"),
        ((*RIGHT, "--max-disagreeing", "nan"), "error: --max-disagreeing nan is not from 0 to 1"),
        ((*RIGHT, "--seed", -1), "error: --seed -1 is not from 0"),
        ((*RIGHT, "--step", 2), "error: step must be above 0 and below 1, not 2.0"),
    ],
    ids=str,
)
def test_mistakes_are_one_line(options: tuple[object, ...], message: str, command: Command) -> None:
    answer = command("check-gradients", *options)
    assert answer.code == 2
    assert answer.err.startswith(message)
    assert answer.err.count("\n") == 1


def test_surface_waves_passes(command: Command) -> None:
    pytest.importorskip("disba")
    answer = command(
        *("check-gradients", "--env", "nondiff/SurfaceWaves6-v0", "--env-arg", "pool=held-out"),
        *("--points", 24, "--json"),
    )
    assert answer.code == 0, answer.err
    pairs = {(one["first"], one["second"]): one for one in json.loads(answer.out)["pairs"]}
    assert len(pairs) == 6
    assert pairs["jacobian", "twin"]["largest"] < 1e-4
    assert pairs["twin", DIFFERENCES]["median"] < 1e-4  # disba stops within 1e-6 of its roots
    assert pairs["twin", DIFFERENCES]["disagreeing"] < 0.02
