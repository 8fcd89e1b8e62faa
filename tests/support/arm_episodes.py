"""Episodes of the arm, and what they left, to the bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nondiff.envs.arm.env import ArmEnv
from nondiff.envs.arm.robots.panda import PANDA
from nondiff.envs.arm.robots.robot import EE_STEP

HORIZON = 30
SMALL = {"render_width": 160, "render_height": 120}
MakeArm = Callable[..., ArmEnv]


def angles(env: ArmEnv) -> NDArray[np.float64]:
    return np.array(env._robot._body.joint_positions(PANDA.joints))


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


def grasping(env: ArmEnv, seed: int, count: int = 45) -> list[Any]:
    """Actions that take hold of a task's first object, or run into it, and then drag it about."""
    rng = np.random.default_rng(seed)
    observation, _ = env.reset(seed=seed)
    size = env.action_space.shape[0]
    robot = 6 + size - 3  # entries that the robot observes; the object's follow
    actions = []
    for step in range(count):
        hand, thing = observation["observation"][:3], observation["observation"][robot:][:3]
        wanted = 8 * (thing - hand + [0, 0, 0.08 if step < 8 else 0]) + rng.uniform(-0.2, 0.2, 3)
        if step > 24:
            wanted = rng.uniform([-1, -1, 0], [1, 1, 0.5])
        action = [*wanted, 1 if step < 16 else -1][:size]
        actions.append(np.clip(action, -1, 1).astype(np.float32))
        observation = env.step(actions[-1])[0]
    return actions


def towards_goal(observation: dict[str, Any]) -> NDArray[np.float32]:
    step = (observation["desired_goal"] - observation["achieved_goal"]) / EE_STEP
    return np.clip(step, -1, 1).astype(np.float32)
