"""Expert of Stack: bring the lower cube to its goal, then hold the upper cube over it."""

from __future__ import annotations

from typing import Any

import numpy as np

from nondiff.envs.arm.experts.motion import (
    Array,
    Seen,
    carry,
    fetch,
    holds,
    let_go,
)

SIZE_OF_STATE = 12  # of a cube: position, angles, velocity, angular velocity
PLACED = 0.03  # [m] error at which the lower cube counts as placed
IN_THE_WAY = 0.075  # [m] from the lower cube's goal within which the upper cube is in the way
ASIDE = 0.11  # [m] from that goal, where the upper cube is put
LIFTED = 0.1  # [m] height of a cube carried over another
STEEP = 4.0  # slope of the descent to the goal


def stack(observation: dict[str, Any]) -> Array:
    """The action (4,) for an observation of Stack."""
    seen = Seen.of(observation, gripper=True)
    lower, upper = seen.rest[:SIZE_OF_STATE], seen.rest[SIZE_OF_STATE : 2 * SIZE_OF_STATE]
    low_goal, high_goal = seen.goal[:3], seen.goal[3:]
    placed = float(np.abs(lower[:3] - low_goal).max()) < PLACED
    blocked = float(np.hypot(*(upper[:3] - low_goal)[:2])) < IN_THE_WAY
    if placed:
        return _bring(seen, upper, lower, high_goal)
    if blocked:
        away = low_goal[:2] - lower[:2]
        away = away / max(float(np.hypot(*away)), 1e-6)
        return _bring(seen, upper, lower, np.array([*(low_goal[:2] + ASIDE * away), upper[2]]))
    return _bring(seen, lower, upper, low_goal)


def _bring(seen: Seen, thing: Array, other: Array, goal: Array) -> Array:
    """The next action to release the other cube, grasp this one, and carry it to a goal."""
    place = thing[:3]
    if holds(seen, other[:3]):
        return let_go(seen, other[6:9])
    if not holds(seen, place):
        return fetch(seen, place)
    far = float(np.hypot(*(place - goal)[:2]))
    rise = min(max(STEEP * (far - PLACED / 3), 0.0), max(LIFTED - goal[2], 0.0))
    return carry(seen, place, thing[6:9], goal + np.array([0.0, 0.0, rise]))
