"""What is particular to the arm: actions, kinematics and hindsight."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from arm_episodes import HORIZON, MakeArm, angles, random_actions, towards_goal
from stable_baselines3 import SAC, HerReplayBuffer

from nondiff.envs.arm.reach import GOAL_HIGH, GOAL_LOW, Reach
from nondiff.envs.arm.robot import (
    ARM_JOINTS,
    CONTROL_TYPES,
    DOWNWARDS,
    EE_STEP,
    END_EFFECTOR,
    IK_DAMPING,
    JOINT_STEP,
    JOINTS,
    NEUTRAL,
    Panda,
)
from nondiff.envs.arm.simulation import Simulation
from nondiff.envs.errors import InvalidOptionError

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


@pytest.mark.parametrize("joint", ARM_JOINTS)
def test_joint_actions_turn_their_joint(make: MakeArm, joint: int) -> None:
    env = make(control_type="joints")
    env.reset(seed=0)
    start = angles(env)
    for _ in range(3):
        env.step(np.eye(len(ARM_JOINTS), dtype=np.float32)[joint])
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
    simulation = Simulation()
    robot = Panda(simulation, "ee", gripper=False)
    env.reset(seed=0)
    for action in random_actions(env, HORIZON):
        observation = env.step(action)[0]
        simulation.place_joints(robot._body, JOINTS, angles(env))
        expected, _ = simulation.link_motion(robot._body, END_EFFECTOR)
        for reported in (observation["achieved_goal"], observation["observation"][:3]):
            assert np.linalg.norm(reported - np.array(expected)) < 1e-6  # [m]


@pytest.mark.parametrize("far", [False, True])
def test_inverse_kinematics_arrives(far: bool) -> None:
    simulation = Simulation()
    robot = Panda(simulation, "ee", gripper=False)
    rng = np.random.default_rng(0)
    residuals = []
    for _ in range(500):
        if far:  # anywhere in the workspace from the neutral pose; else an action from the last
            simulation.place_joints(robot._body, JOINTS, NEUTRAL)
        position = np.array(simulation.link_motion(robot._body, END_EFFECTOR)[0])
        target = position + rng.uniform(-EE_STEP, EE_STEP, 3)
        target = rng.uniform(GOAL_LOW, GOAL_HIGH) if far else target.clip(GOAL_LOW, GOAL_HIGH)
        solution = simulation.inverse_kinematics(
            robot._body, END_EFFECTOR, target.tolist(), DOWNWARDS, IK_DAMPING
        )
        simulation.place_joints(robot._body, JOINTS, solution)
        reached, _ = simulation.link_motion(robot._body, END_EFFECTOR)
        residuals.append(np.linalg.norm(reached - target))
    assert np.median(residuals) < 1e-4  # [m]
    assert np.percentile(residuals, 95) < 1e-3  # [m]


# Hindsight


@pytest.mark.parametrize("reward_type", ["sparse", "dense"])
def test_hindsight_rewards_are_those_of_the_relabelled_goals(
    make: MakeArm, reward_type: str
) -> None:
    env = make(reward_type=reward_type)
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
