"""What is particular to the arm: actions, kinematics and hindsight."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
from arm_episodes import HORIZON, MakeArm, angles, random_actions, towards_goal
from stable_baselines3 import SAC, HerReplayBuffer

from nondiff.envs.arm.env import ArmEnv
from nondiff.envs.arm.robots.kuka_iiwa import KUKA_IIWA
from nondiff.envs.arm.robots.panda import PANDA
from nondiff.envs.arm.robots.robot import (
    CONTROL_TYPES,
    EE_STEP,
    IK_DAMPING,
    JOINT_STEP,
    Robot,
    RobotModel,
)
from nondiff.envs.arm.suite import kuka_reach, panda_flip, panda_reach
from nondiff.envs.arm.tasks.push import Push
from nondiff.envs.arm.tasks.reach import GOAL_HIGH, GOAL_LOW, Reach
from nondiff.envs.arm.world.simulation import Simulation
from nondiff.errors import InvalidOptionError

BOTH_ARMS = pytest.mark.parametrize("model", [PANDA, KUKA_IIWA], ids=["panda", "kuka"])

# Actions


@pytest.mark.parametrize("axis", range(3))
def test_ee_actions_move_the_end_effector_along_an_axis(make: MakeArm, axis: int) -> None:
    env = make(control_type="ee")
    action = np.eye(3, dtype=np.float32)[axis] / 5  # slowly, so that no joint lags behind others
    start = env.reset(seed=0)[0]["achieved_goal"]
    for _ in range(10):
        observation = env.step(action)[0]
    moved = observation["achieved_goal"] - start
    assert moved[axis] > EE_STEP
    assert np.abs(np.delete(moved, axis)).max() < 0.1 * EE_STEP


@pytest.mark.parametrize("joint", PANDA.arm_joints)
def test_joint_actions_turn_their_joint(make: MakeArm, joint: int) -> None:
    env = make(control_type="joints")
    env.reset(seed=0)
    start = angles(env)
    for _ in range(3):
        env.step(np.eye(len(PANDA.arm_joints), dtype=np.float32)[joint])
    turned = angles(env) - start
    assert turned[joint] > JOINT_STEP
    assert np.abs(np.delete(turned, joint)).max() < 0.2 * JOINT_STEP


def test_moving_to_the_goal_ends_the_episode_with_success(make: MakeArm) -> None:
    env = make(reward_type="sparse")
    for seed in range(20):
        observation, info = env.reset(seed=seed)
        terminated = truncated = False
        while not (terminated or truncated):
            assert not info["is_success"]
            observation, reward, terminated, truncated, info = env.step(towards_goal(observation))
            distance = np.linalg.norm(observation["desired_goal"] - observation["achieved_goal"])
            assert terminated == info["is_success"] == bool(distance < Reach.threshold)
            assert reward == (0.0 if terminated else -1.0)
        assert terminated


@pytest.mark.parametrize(
    ("argument", "valid"),
    [
        ({"reward_type": "shaped"}, "sparse, dense"),
        ({"control_type": "torque"}, "ee, joints"),
        ({"render_mode": "gif"}, "human, rgb_array, rgb_array_list or None"),
        ({"physics": "slow"}, "default, fast"),
        ({"horizon": 0}, "positive whole number"),
        ({"horizon": -5}, "positive whole number"),
        ({"horizon": 2.5}, "positive whole number"),
        ({"horizon": True}, "positive whole number"),
        ({"render_width": 0}, "positive whole number"),
        ({"render_height": "480"}, "positive whole number"),
    ],
)
def test_a_bad_argument_is_named_with_the_valid_choices(
    make: MakeArm, argument: dict[str, Any], valid: str
) -> None:
    ((name, value),) = argument.items()
    for construct in (make, lambda **given: gymnasium.make("nondiff/PandaReach-v0", **given)):
        with pytest.raises(InvalidOptionError) as raised:
            construct(**argument)
        assert name in str(raised.value)
        assert repr(value) in str(raised.value)
        assert valid in str(raised.value)


# Kinematics


@pytest.mark.parametrize("control_type", CONTROL_TYPES)
def test_reported_position_is_the_forward_kinematics_of_the_joints(
    make: MakeArm, control_type: str
) -> None:
    env = make(control_type=control_type)
    robot = Robot(Simulation(), PANDA, "ee", gripper=False)
    env.reset(seed=0)
    for action in random_actions(env, HORIZON):
        observation = env.step(action)[0]
        robot.place(angles(env), np.zeros(9))
        expected = robot.observe()[:3]
        for reported in (observation["achieved_goal"], observation["observation"][:3]):
            assert np.linalg.norm(reported - np.array(expected)) < 1e-6  # [m]


@BOTH_ARMS
def test_reported_velocity_is_the_change_of_the_position(model: RobotModel) -> None:
    robot = Robot(Simulation(), model, "ee", gripper=False)
    rng, step = np.random.default_rng(0), 1e-3  # poses have single precision
    fingers = [0.0] * len(model.fingers)
    for _ in range(20):
        turning = np.array([*rng.normal(size=7), *fingers])
        start = np.array([*rng.uniform(*robot.arm_limits()), *fingers])
        ends = []
        for side in (-step, step):
            robot.place(start + side * turning, turning)
            ends.append(np.array(robot.observe()[:3]))
        robot.place(start, turning)
        np.testing.assert_allclose((ends[1] - ends[0]) / (2 * step), robot.observe()[3:], atol=1e-4)


@BOTH_ARMS
@pytest.mark.parametrize("far", [False, True])
def test_inverse_kinematics_arrives(model: RobotModel, far: bool) -> None:
    robot = Robot(Simulation(), model, "ee", gripper=False)
    still = [0.0] * len(model.joints)
    rng = np.random.default_rng(0)
    residuals = []
    for _ in range(500):
        if far:  # anywhere in the workspace from the neutral pose; else an action from the last
            robot.place(model.neutral, still)
        position = np.array(robot.observe()[:3])
        target = position + rng.uniform(-EE_STEP, EE_STEP, 3)
        target = rng.uniform(GOAL_LOW, GOAL_HIGH) if far else target.clip(GOAL_LOW, GOAL_HIGH)
        solution = robot._body.inverse_kinematics(
            model.end_effector,
            [*target[:2], target[2] + model.tool],
            model.downwards,
            [IK_DAMPING] * len(model.joints),
        )
        robot.place(solution, still)
        residuals.append(np.linalg.norm(robot.observe()[:3] - target))
    assert np.median(residuals) < 1e-4  # [m]
    assert np.percentile(residuals, 95) < 1e-3  # [m]


# Robots


def test_the_kuka_reaches_its_goals() -> None:
    env = kuka_reach()
    for seed in range(20):
        observation, _ = env.reset(seed=seed)
        terminated = truncated = False
        while not (terminated or truncated):
            observation, _, terminated, truncated, _ = env.step(towards_goal(observation))
        assert terminated
    assert env.black_box() is None
    env.close()


def test_a_robot_that_does_not_fit_is_refused() -> None:
    class Grasp(Push):
        gripper = True

    five_joints = {"fingers": (5, 6), "arm_joints": (0, 1, 2, 3, 4)}

    def construct(**changes: Any) -> None:
        ArmEnv(Grasp, replace(KUKA_IIWA, **changes)).close()

    for changes, message in (
        ({}, "needs a gripper, and kuka_iiwa/model.urdf has no fingers"),
        ({"fingers": (7,)}, r"fingers \(7,\) are 1, not 0 or 2"),
        ({"forces": (300.0,)}, r"forces has 1 entries; there are 7 joints"),
        ({"urdf": "/nowhere.urdf", **five_joints}, "no robot description /nowhere.urdf"),
        (
            {"urdf": PANDA.urdf, **five_joints},
            r"that move are \(0, 1, .*has \(0, 1, 2, 3, 4, 5, 6\)",
        ),
    ):
        with pytest.raises(InvalidOptionError, match=message):
            construct(**changes)


# Hindsight


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("task", "reward_type"),
    [(panda_reach, "sparse"), (panda_reach, "dense"), (panda_flip, "sparse")],
)
def test_hindsight_rewards_are_those_of_the_relabelled_goals(
    task: MakeArm, reward_type: str
) -> None:
    env = task(reward_type=reward_type)
    model = SAC(
        "MultiInputPolicy",
        env,
        replay_buffer_class=HerReplayBuffer,
        buffer_size=1_000,
        learning_starts=1_000,  # never: the buffer is filled at random
        seed=0,
        device="cpu",
    )
    model.learn(300)
    sample = model.replay_buffer.sample(256)
    achieved = sample.next_observations["achieved_goal"].numpy()
    desired = sample.next_observations["desired_goal"].numpy()
    rewards = sample.rewards.numpy()[:, 0]
    assert np.array_equal(rewards, env.compute_reward(achieved, desired, None))
    relabelled = np.abs(desired - achieved).max(axis=1) == 0  # with what the same step achieved
    assert relabelled.any()
    assert (rewards[relabelled] == 0).all()
    assert np.unique(rewards).size > 1
    env.close()
