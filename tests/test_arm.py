"""What is particular to the arm."""

from __future__ import annotations

import gc
import itertools
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gymnasium
import numpy as np
import pytest
from numpy.typing import NDArray
from stable_baselines3 import SAC, HerReplayBuffer

from nondiff.envs.arm.env import FRAMES_PER_STEP, ArmEnv
from nondiff.envs.arm.reach import GOAL_HIGH, GOAL_LOW, Reach, panda_reach
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
from nondiff.envs.errors import InvalidOptionError, MissingDependencyError

HORIZON = 30
SMALL = {"render_width": 160, "render_height": 120}
MakeArm = Callable[..., ArmEnv]


@pytest.fixture
def make() -> Iterator[MakeArm]:
    made: list[ArmEnv] = []

    def make(**arguments: Any) -> ArmEnv:
        made.append(panda_reach(**arguments))
        return made[-1]

    yield make
    for env in made:
        env.close()


def angles(env: ArmEnv) -> NDArray[np.float64]:
    return np.array(env._simulation.joint_positions(env._robot._body, JOINTS))


def random_actions(env: ArmEnv, count: int, seed: int = 0, scale: float = 1.0) -> list[Any]:
    env.action_space.seed(seed)
    return [np.float32(scale) * env.action_space.sample() for _ in range(count)]


def bits(observation: dict[str, Any]) -> bytes:
    return b"".join(observation[key].tobytes() for key in sorted(observation))


def follow(env: ArmEnv, actions: Sequence[Any]) -> list[Any]:
    """All that `env` returns; it is reset whenever an episode ends."""
    record: list[Any] = []
    for action in actions:
        observation, *rest = env.step(action)
        record.append((bits(observation), *rest))
        if rest[1] or rest[2]:
            record.append(bits(env.reset()[0]))
    return record


def towards_goal(observation: dict[str, Any]) -> NDArray[np.float32]:
    step = (observation["desired_goal"] - observation["achieved_goal"]) / EE_STEP
    return np.clip(step, -1, 1).astype(np.float32)


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


# State


@pytest.mark.parametrize(
    ("control_type", "on_the_table"), [("joints", False), ("ee", False), ("ee", True)]
)
def test_state_restores_every_bit(make: MakeArm, control_type: str, on_the_table: bool) -> None:
    env = make(control_type=control_type, horizon=HORIZON)
    env.reset(seed=1)
    actions = random_actions(env, 4 * HORIZON, scale=0.2)
    if on_the_table:  # contacts have state of their own
        actions = [np.array([*action[:2], -1], np.float32) for action in actions]
    follow(env, actions[:12])
    state = env.get_state()
    assert (env.set_state(state)["achieved_goal"][2] < 0.01) == on_the_table
    expected = follow(env, actions[12:])
    truncated = [entry[3] for entry in expected[: HORIZON - 12]]
    assert truncated == [False] * (HORIZON - 13) + [True]
    for others in (0, 5, 3 * HORIZON):
        follow(env, random_actions(env, others, seed=2))
        env.set_state(state)
        assert follow(env, actions[12:]) == expected


def test_set_state_observes_the_state(make: MakeArm) -> None:
    env = make()
    env.reset(seed=0)
    for action in random_actions(env, 5):
        observation = env.step(action)[0]
    state = env.get_state()
    env.reset(seed=1)
    assert bits(env.set_state(state)) == bits(observation)


def test_reset_forgets_contacts(make: MakeArm) -> None:
    used, fresh = make(), make()
    used.reset(seed=0)
    follow(used, [np.array([0.3, 0.2, -1], np.float32)] * 70)
    actions = [np.array([0.1, -0.2, -1], np.float32)] * 70
    assert bits(used.reset(seed=3)[0]) == bits(fresh.reset(seed=3)[0])
    assert follow(used, actions) == follow(fresh, actions)


def test_states_are_freed_with_their_last_reference(make: MakeArm) -> None:
    env = make()
    env.reset(seed=0)
    held = [env.get_state() for _ in range(3)]
    numbers = {state.physics.id for state in held}
    reused = {env.get_state().physics.id for _ in range(500)}
    assert len(numbers) == 3
    assert len(reused) == 1
    assert not reused & numbers
    del held
    gc.collect()
    assert env.get_state().physics.id in numbers


def test_closing_one_environment_leaves_others_alone(make: MakeArm) -> None:
    actions = random_actions(make(), HORIZON)
    first, second = make(), make()
    first.reset(seed=0)
    second.reset(seed=0)
    expected = follow(second, actions)
    stale = first.get_state()
    first.close()
    third = make()  # takes the number of the closed connection, and its state the number of `stale`
    third.reset(seed=0)
    state = third.get_state()
    assert (third._simulation.client, state.physics.id) == (
        first._simulation.client,
        stale.physics.id,
    )
    del stale, first
    gc.collect()
    third.step(actions[0])
    third.set_state(state)
    assert follow(third, actions) == expected
    third.close()
    third.close()
    second.reset(seed=0)
    assert follow(second, actions) == expected


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


# Pictures


def goal_pixels(picture: NDArray[np.uint8]) -> tuple[int, int]:
    """How many pixels have the hue of a goal ahead (orange) and of one reached (green)."""
    red, green, blue = np.moveaxis(picture.astype(int), -1, 0)
    ahead = (red > 60) & (red > 2 * green) & (green > 2 * blue)
    reached = (green > 60) & (green > 2 * red) & (green > 2 * blue)
    return int(ahead.sum()), int(reached.sum())


def test_the_goal_is_seen_and_changes_colour_when_reached(make: MakeArm) -> None:
    env = make(render_mode="rgb_array", **SMALL)
    for seed in range(3):
        observation, _ = env.reset(seed=seed)
        ahead, reached = goal_pixels(env.render())
        assert ahead > 5
        assert reached == 0
        terminated = False
        while not terminated:
            observation, _, terminated, _, _ = env.step(towards_goal(observation))
        ahead, reached = goal_pixels(env.render())
        assert ahead == 0
        assert reached > 0


def test_slow_motion_has_more_frames_and_the_same_physics(make: MakeArm) -> None:
    plain, filmed = make(), make(render_mode="rgb_array_list", **SMALL)
    assert bits(plain.reset(seed=0)[0]) == bits(filmed.reset(seed=0)[0])
    assert len(filmed.render()) == 1
    for action in random_actions(plain, 4):
        assert follow(plain, [action]) == follow(filmed, [action])
        frames = filmed.render()
        assert len(frames) == FRAMES_PER_STEP
        assert all(frame.shape == (120, 160, 3) for frame in frames)
        assert all(not np.array_equal(*pair) for pair in itertools.pairwise(frames))
    assert filmed.render() == []


@pytest.mark.skipif(sys.platform != "linux", reason="only X11 needs DISPLAY")
def test_a_window_needs_a_display(make: MakeArm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(MissingDependencyError, match="rgb_array"):
        make(render_mode="human")


HUMAN = """
import gymnasium
env = gymnasium.make("nondiff:nondiff/PandaReach-v0", render_mode="human")
env.reset(seed=0)
for _ in range(3):
    observation = env.step(env.action_space.low)[0]
assert env.render() is None
env.close()
print(observation["observation"].tobytes().hex())
"""


@pytest.fixture(scope="module")
def human_output() -> str:
    if shutil.which("xvfb-run") is None:
        pytest.skip("xvfb-run is not installed, so there is no display to open a window on")
    command = ["xvfb-run", "-a", sys.executable, "-W", "error", "-c", HUMAN]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_a_window_shows_the_same_physics(make: MakeArm, human_output: str) -> None:
    env = make()
    env.reset(seed=0)
    for _ in range(3):
        observation = env.step(env.action_space.low)[0]
    assert observation["observation"].tobytes().hex() in human_output


def test_a_window_prints_nothing(human_output: str) -> None:
    assert len(human_output.splitlines()) == 1


def test_pybullet_prints_nothing() -> None:
    code = "from nondiff.envs.arm.reach import panda_reach; panda_reach().close()"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert done.stdout + done.stderr == b""
