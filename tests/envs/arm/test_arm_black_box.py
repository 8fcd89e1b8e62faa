"""The arm as a black box: it moves as the environment does, and its gradients are right."""

from __future__ import annotations

from collections.abc import Iterator

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from nondiff.black_box import BlackBoxEnv, Meter, capabilities, find_black_box
from nondiff.black_box.contract import Array
from nondiff.envs.arm.env import ArmEnv
from nondiff.envs.arm.gradients import motors
from nondiff.envs.arm.gradients.black_box import ArmBox
from nondiff.envs.arm.gradients.kinematics import Chain
from nondiff.envs.arm.gradients.manual import jacobian_slopes
from nondiff.envs.arm.gradients.state import ANGLES, MOTION, POSITION, VELOCITIES, VELOCITY, WIDTH
from nondiff.envs.arm.robots.panda import PANDA, TIP
from nondiff.envs.arm.robots.robot import ControlType, Robot
from nondiff.envs.arm.suite import panda_reach
from nondiff.envs.arm.tasks.reach import Reach
from nondiff.envs.arm.world.engine import model_path
from nondiff.envs.arm.world.physics import PROFILES, ProfileName
from nondiff.envs.arm.world.simulation import Simulation

BOTH = pytest.mark.parametrize("control_type", ["ee", "joints"])
EACH = pytest.mark.parametrize("physics", PROFILES)
CEILING = np.array([0.1, 0.15, 0.3])  # [m] of the targets that `wander` heads for
FLOOR = np.array([-0.15, -0.15, 0.1])


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def arm_box(
    control_type: ControlType = "ee",
    reward_type: str = "dense",
    physics: ProfileName = "default",
) -> ArmBox:
    env = panda_reach(reward_type=reward_type, control_type=control_type, physics=physics)
    box = env.black_box()
    env.close()
    assert isinstance(box, ArmBox)
    return box


def commands(box: ArmBox, position: Array, target: Array, rng: np.random.Generator) -> Array:
    """Actions towards a target in the air, with noise; joint changes are noise alone."""
    size = box.action_space.shape[0]
    noise = rng.uniform(-0.5, 0.5, (len(position), size))
    if size == 3:
        noise += 8 * (target - position)
    return np.clip(noise, -1, 1).astype(np.float32).astype(np.float64)


def wander(box: ArmBox, rows: int, steps: int, seed: int = 0) -> tuple[Array, Array, Array]:
    """States, actions and outcomes (rows * steps, ...) off the table, targets changing."""
    rng = np.random.default_rng(seed)
    state = box.initial(rows, rng).state
    seen = []
    for step in range(steps):
        if step % 8 == 0:
            target = rng.uniform(FLOOR, CEILING, (rows, 3))
        action = commands(box, state[:, POSITION], target, rng)
        outcome = box.transition(state, action)
        seen.append((state, action, outcome))
        state = outcome
    states, actions, outcomes = (np.concatenate(part) for part in zip(*seen, strict=True))
    return states, actions, outcomes


def by_twin(box: ArmBox, state: Array, action: Array, cotangent: Array) -> tuple[Array, Array]:
    leaves = [torch.tensor(array, requires_grad=True) for array in (state, action)]
    box.twin(*leaves).backward(torch.from_numpy(cotangent))
    of_state, of_action = (leaf.grad for leaf in leaves)
    assert of_state is not None
    assert of_action is not None
    return of_state.numpy(), of_action.numpy()


def cosines(first: Array, second: Array) -> Array:
    products = (first * second).sum(-1)
    return np.asarray(products / np.linalg.norm(first, axis=-1) / np.linalg.norm(second, axis=-1))


def robot_and_angles(count: int) -> tuple[Robot, Array]:
    robot = Robot(Simulation(), PANDA, "ee", False)
    return robot, np.random.default_rng(0).uniform(*robot.arm_limits(), (count, 7))


def chain() -> Chain:
    return Chain(model_path(PANDA.urdf), TIP, PANDA.base_position)


# Where the arm is, and what it weighs.


def test_the_chain_moves_as_pybullet_does() -> None:
    robot, angles = robot_and_angles(50)
    velocities = np.random.default_rng(1).normal(size=angles.shape)
    poses = chain().poses(torch.from_numpy(angles))
    position, rotation = chain().tip_pose(poses)
    jacobian = chain().jacobian(poses).numpy()
    for row, (q, v) in enumerate(zip(angles.tolist(), velocities.tolist(), strict=True)):
        robot.place([*q, 0, 0], [*v, 0, 0])
        seen = robot.observe()
        np.testing.assert_allclose(position[row], seen[:3], atol=1e-6)
        np.testing.assert_allclose(jacobian[row, :3] @ v, seen[3:], atol=1e-12)
        np.testing.assert_allclose(jacobian[row], robot.jacobian(q), atol=1e-12)
        assert abs(np.linalg.det(rotation[row]) - 1) < 1e-12


def test_the_chain_weighs_what_pybullet_s_arm_does() -> None:
    robot, angles = robot_and_angles(20)
    velocities = np.random.default_rng(1).normal(size=angles.shape)
    masses = [torch.tensor(part).double() for part in zip(*robot.link_inertias(), strict=True)]
    mass, torques = chain().inertia(
        chain().poses(torch.from_numpy(angles)), torch.from_numpy(velocities), *masses
    )
    for row, (q, v) in enumerate(zip(angles.tolist(), velocities.tolist(), strict=True)):
        expected = robot.arm_inertia(q, v)
        np.testing.assert_allclose(mass[row], expected[0], rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(torques[row], expected[1], rtol=1e-6, atol=1e-6)


def test_three_jacobians_agree() -> None:
    robot, angles = robot_and_angles(10)

    def place(q: torch.Tensor) -> torch.Tensor:
        return chain().tip_pose(chain().poses(q[None]))[0][0]

    def reached(q: Array) -> Array:
        robot.place([*q, 0.0, 0.0], [0.0] * 9)
        return np.array(robot.observe()[:3])

    for q in angles:
        own = robot.jacobian(q.tolist())
        automatic = torch.autograd.functional.jacobian(place, torch.from_numpy(q))
        steps = 3e-3 * np.eye(7)  # PyBullet gives positions in single precision
        differences = np.array([(reached(q + d) - reached(q - d)) / 6e-3 for d in steps]).T
        np.testing.assert_allclose(own[:3], automatic, atol=1e-12)
        np.testing.assert_allclose(own[:3], differences, atol=3e-5)
        slopes = [
            robot.jacobian((q + d).tolist()) - robot.jacobian((q - d).tolist()) for d in steps
        ]
        np.testing.assert_allclose(
            jacobian_slopes(own[None])[0], np.stack(slopes, -1) / 6e-3, atol=1e-5
        )


@EACH
@pytest.mark.parametrize("weak", [1.0, 0.3])
def test_the_motors_adjoint_is_autograd_s(weak: float, physics: ProfileName) -> None:
    rng = np.random.default_rng(0)
    factor = torch.from_numpy(rng.normal(size=(30, 7, 7)))
    mass = factor @ factor.mT / 7 + torch.eye(7)
    angles, velocities, targets = (
        torch.from_numpy(rng.normal(scale=scale, size=(30, 7))).requires_grad_()
        for scale in (0.1, 0.5, 0.2)
    )
    forces = weak * torch.full((7,), 87.0, dtype=torch.float64)
    torques = torch.zeros(30, 7, dtype=torch.float64)
    course = motors.drive(
        (angles, velocities), targets, forces, lambda *_: (mass, torques), PROFILES[physics]
    )
    limited = torch.stack(course.sides).abs().mean()
    assert 0.02 < limited < 0.99
    ends = [torch.from_numpy(rng.normal(size=(30, 7))) for _ in range(2)]
    leaves = (angles, velocities, targets)
    expected = torch.autograd.grad((course.angles, course.velocities), leaves, ends)
    for own, other in zip(motors.adjoint(course, *ends), expected, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-9, atol=1e-9)


# The box moves as the environment does.


@pytest.mark.thorough
@EACH
@BOTH
def test_free_episodes_are_the_environment_s_to_the_bit(
    control_type: ControlType, physics: ProfileName
) -> None:
    env = panda_reach(reward_type="dense", control_type=control_type, physics=physics)
    box = arm_box(control_type, physics=physics)
    made = BlackBoxEnv(box)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        seen, _ = env.reset(seed=seed)
        other, _ = made.reset(seed=seed)
        over = False
        while not over:
            for key in seen:
                np.testing.assert_array_equal(seen[key], other[key])
            position = seen["achieved_goal"][None].astype(np.float64)
            action = commands(box, position, rng.uniform(FLOOR, CEILING), rng)[0]
            action = action.astype(np.float32)
            seen, reward, terminated, truncated, info = env.step(action)
            other, *rest = made.step(action)
            assert rest[0] == pytest.approx(reward, abs=1e-6)
            assert rest[1:3] == [terminated, truncated]
            assert rest[3]["is_success"] == info["is_success"]
            over = terminated or truncated
    env.close()


def test_episodes_on_the_table_are_the_environment_s_to_millimetres() -> None:
    env, box = panda_reach(reward_type="dense"), arm_box()
    env.reset(seed=0)
    state = box.initial(1, np.random.default_rng(0)).state
    lowest, largest = 1.0, 0.0
    for step in range(40):
        action = np.array([0.5 * np.sin(step), 0.5 * np.cos(step), -1.0], np.float32)
        seen = env.step(action)[0]["achieved_goal"]
        state = box.transition(state, action[None].astype(np.float64))
        lowest = min(lowest, float(seen[2]))
        largest = max(largest, float(np.abs(seen - state[0, POSITION]).max()))
    assert lowest < 0.01
    assert 0 < largest < 5e-3
    env.close()


def test_a_row_is_the_same_in_any_batch_and_box() -> None:
    box = arm_box()
    states, actions, outcomes = wander(box, 3, 12)
    pressing = np.tile([[0.2, 0.1, -1.0]], (3, 1))
    low = states[-3:]
    for _ in range(12):
        low = box.transition(low, pressing)
    assert low[:, POSITION][:, 2].max() < 0.01
    states, actions = np.concatenate([states, low]), np.concatenate([actions, pressing])
    expected = box.transition(states, actions)
    np.testing.assert_array_equal(expected[:-3], outcomes)
    order = np.random.default_rng(0).permutation(len(states))
    box.vjp(states[:5], actions[:5], expected[:5], np.ones((5, WIDTH)))
    np.testing.assert_array_equal(box.transition(states[order], actions[order]), expected[order])
    np.testing.assert_array_equal(box.transition(states[-1:], actions[-1:]), expected[-1:])
    np.testing.assert_array_equal(
        arm_box().transition(states[order], actions[order]), expected[order]
    )


def test_a_row_that_is_not_finite_fails_alone() -> None:
    box = arm_box()
    states, actions, outcomes = wander(box, 3, 2)
    states[1, 4], actions[2, 0] = np.nan, np.inf
    moved = box.transition(states, actions)
    assert np.isnan(moved[1:3]).all()
    np.testing.assert_array_equal(np.delete(moved, [1, 2], 0), np.delete(outcomes, [1, 2], 0))
    twin = box.twin(torch.from_numpy(states), torch.from_numpy(actions))
    assert bool(twin[1].isnan().any())
    assert bool(twin[3:].isfinite().all())
    assert box.transition(states[:0], actions[:0]).shape == (0, WIDTH)
    of_state, of_action = box.vjp(states[:0], actions[:0], moved[:0], moved[:0])
    assert (of_state.shape, of_action.shape) == ((0, WIDTH), (0, 3))


def test_actions_are_clipped_and_the_arguments_kept() -> None:
    box = arm_box()
    states = wander(box, 2, 1)[0]
    beyond = np.array([[3.0, -2.0, 1.5], [-4.0, 0.5, 0.0]])
    before = states.copy(), beyond.copy()
    outcome = box.transition(states, beyond)
    np.testing.assert_array_equal(outcome, box.transition(states, np.clip(beyond, -1, 1)))
    _, of_action = box.vjp(states, beyond, outcome, np.ones_like(outcome))
    np.testing.assert_array_equal(of_action == 0, np.abs(beyond) > 1)
    np.testing.assert_array_equal(states, before[0])
    np.testing.assert_array_equal(beyond, before[1])


def test_starts_are_the_environment_s() -> None:
    env, box = panda_reach(), arm_box()
    start = box.initial(400, np.random.default_rng(0))
    for seed in range(20):
        seen, _ = env.reset(seed=seed)
        drawn = box.initial(1, np.random.default_rng(seed))
        np.testing.assert_array_equal(drawn.context[0].astype(np.float32), seen["desired_goal"])
        np.testing.assert_array_equal(
            drawn.state[0, MOTION].astype(np.float32), seen["observation"]
        )
    assert start.state.shape == (400, WIDTH)
    states = torch.from_numpy(start.state)
    assert not box.success(states, states, states, torch.from_numpy(start.context)).any()
    env.close()


def test_what_is_seen_and_earned() -> None:
    box, sparse = arm_box(), arm_box(reward_type="sparse")
    start = box.initial(3, np.random.default_rng(0))
    start.state[1, VELOCITY] = [20.0, -30.0, 1.0]
    state, goal = torch.from_numpy(start.state), torch.from_numpy(start.context)
    seen = box.observation(state, goal).numpy()
    parts = spaces.unflatten(box.observation_space, seen[1])
    np.testing.assert_array_equal(parts["achieved_goal"], start.state[1, POSITION])
    np.testing.assert_array_equal(parts["desired_goal"], start.context[1])
    np.testing.assert_array_equal(parts["observation"][3:], [10.0, -10.0, 1.0])
    outcome = state.clone()
    outcome[0, POSITION] = goal[0] + torch.tensor([0.03, 0.0, 0.0])
    outcome[1, POSITION] = goal[1] + torch.tensor([0.0, 0.2, 0.0])
    earned = box.reward(state, state, outcome, goal)
    torch.testing.assert_close(earned[:2], torch.tensor([-0.03, -0.2], dtype=torch.float64))
    assert sparse.reward(state, state, outcome, goal)[:2].tolist() == [0.0, -1.0]
    assert box.success(state, state, outcome, goal)[:2].tolist() == [True, False]


# Its gradients.


def test_what_the_environment_offers() -> None:
    env = gymnasium.make("nondiff/PandaReachDense-v0")
    box = find_black_box(env)
    assert isinstance(box, ArmBox)
    assert capabilities(box) == {"vjp", "twin"}
    assert box.horizon == 50
    assert (box.observation_space, box.action_space) == (env.observation_space, env.action_space)
    assert (box.vjp_cost, box.twin_cost) == (0, 0)
    states, actions, outcomes = wander(box, 2, 1)
    meter = Meter(box, budget=0)
    meter.vjp(states, actions, outcomes, np.ones_like(outcomes))
    assert meter.calls == 0
    env.close()


def test_a_task_that_moves_more_than_the_arm_offers_none() -> None:
    class Moving(Reach):
        arm_only = False

    env = ArmEnv(Moving, PANDA)
    assert find_black_box(env) is None
    env.close()


@BOTH
def test_the_twin_is_a_millimetre_from_pybullet_s_fast_physics(control_type: ControlType) -> None:
    box = arm_box(control_type, physics="fast")
    states, actions, outcomes = wander(box, 8, 20)
    with torch.no_grad():
        twin = box.twin(torch.from_numpy(states), torch.from_numpy(actions)).numpy()
    off = np.linalg.norm((twin - outcomes)[:, POSITION], axis=1)
    assert np.quantile(off, 0.5) < 2e-3
    cotangent = np.zeros_like(outcomes)
    cotangent[:, POSITION] = np.random.default_rng(0).normal(size=(len(states), 3))
    _, own = box.vjp(states, actions, outcomes, cotangent)
    assert np.median(cosines(own, by_twin(box, states, actions, cotangent)[1])) > 0.99


@BOTH
def test_the_twin_is_a_fraction_of_a_millimetre_from_pybullet(control_type: ControlType) -> None:
    box = arm_box(control_type)
    states, actions, outcomes = wander(box, 8, 40)
    with torch.no_grad():
        twin = box.twin(torch.from_numpy(states), torch.from_numpy(actions)).numpy()
    off = np.linalg.norm((twin - outcomes)[:, POSITION], axis=1)
    wrong_speed = np.linalg.norm((twin - outcomes)[:, VELOCITY], axis=1)
    assert np.quantile(off, 0.5) < 0.2e-3
    assert np.quantile(off, 0.99) < 2e-3
    assert np.quantile(wrong_speed, 0.5) < 0.01
    assert np.quantile(wrong_speed, 0.95) < 0.1


@BOTH
def test_the_hand_written_gradient_is_the_twin_s(control_type: ControlType) -> None:
    box = arm_box(control_type)
    states, actions, outcomes = wander(box, 4, 24)
    actions *= 0.99
    cotangent = np.zeros_like(outcomes)
    cotangent[:, ANGLES] = np.random.default_rng(0).normal(size=(len(states), 7))
    cotangent[:, MOTION] = np.random.default_rng(1).normal(size=(len(states), 6))
    of_state, of_action = box.vjp(states, actions, outcomes, cotangent)
    twin_state, twin_action = by_twin(box, states, actions, cotangent)
    for own, other in (
        (of_action, twin_action),
        (of_state[:, ANGLES], twin_state[:, ANGLES]),
        (of_state[:, VELOCITIES], twin_state[:, VELOCITIES]),
    ):
        assert np.quantile(cosines(own, other), 0.05) > 0.9
        assert np.median(cosines(own, other)) > 0.998
    assert (of_state[:, MOTION] == 0).all()


@pytest.mark.thorough
@BOTH
def test_the_hand_written_gradient_is_that_of_differences(control_type: ControlType) -> None:
    """At most a seventh of the entries are off by 5 % of the largest, at the motors' limits."""
    box = arm_box(control_type)
    states, actions, _ = wander(box, 3, 16)
    actions *= 0.99
    outcomes = box.transition(states, actions)
    own = []
    for entry in range(POSITION.start, POSITION.stop):
        cotangent = np.zeros_like(outcomes)
        cotangent[:, entry] = 1
        own.append(box.vjp(states, actions, outcomes, cotangent))
    for which, size in ((0, 7), (1, actions.shape[1])):
        exact = np.stack([pair[which][:, :size] for pair in own], 1)
        measured = np.stack([difference(box, states, actions, which, e) for e in range(size)], -1)
        largest = np.abs(measured).max((1, 2), keepdims=True)
        off = np.abs(exact - measured) / largest
        assert (off > 0.05).mean() < 0.15
        assert np.median(off) < 0.005


def difference(box: ArmBox, states: Array, actions: Array, which: int, entry: int) -> Array:
    """Of positions (n, 3) by an entry of the states (0) or the actions (1)."""
    ends = []
    for step in (1e-3, -1e-3):
        moved = [states.copy(), actions.copy()]
        moved[which][:, entry] += step
        ends.append(box.transition(*moved)[:, POSITION])
    return np.asarray(ends[0] - ends[1]) / 2e-3
