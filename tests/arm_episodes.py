"""Episodes of the arm, and what they left, to the bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nondiff.envs.arm.env import ArmEnv
from nondiff.envs.arm.robot import (
    EE_STEP,
    JOINTS,
)

HORIZON = 30
SMALL = {"render_width": 160, "render_height": 120}
MakeArm = Callable[..., ArmEnv]


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
