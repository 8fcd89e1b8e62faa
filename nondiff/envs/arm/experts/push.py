"""Expert of Push: descend behind the cube, and push it to the goal."""

from __future__ import annotations

from typing import Any

import numpy as np

from nondiff.envs.arm.experts.motion import Array, Cone, Seen, come_down, move
from nondiff.envs.arm.robots.robot import EE_STEP

BEHIND = 0.065  # [m] from the object's centre to where the hand descends
LOW = 0.015  # [m] height of the hand as it pushes
BEHIND_THE_CUBE = Cone(tip=0.01, slope=2.0, height=0.045, below=0.02)
FASTEST, SLOWEST = 0.5, 0.1  # of a full action; faster, the object bounces off the hand
SLOWING = 0.05  # [m] from the goal, within which pushing slows down
# [m] pairs: up to the first the hand pushes, beyond the second it descends.
HEIGHTS = (0.02, 0.03)
LANES = (0.012, 0.02)  # beside the line through object and goal
PAST = (-0.01, 0.0)  # along it, from the object's centre


def push(observation: dict[str, Any]) -> Array:
    """The action (3,) of a closed hand that pushes an object to a goal on the table."""
    seen = Seen.of(observation, gripper=False)
    thing, hand = seen.rest[:2], seen.hand[:2]
    way = seen.goal[:2] - thing
    distance = max(float(np.hypot(*way)), 1e-6)
    ahead = way / distance
    along = float((hand - thing) @ ahead)
    aside = float(np.hypot(*(hand - thing - along * ahead)))
    pushes = np.interp(seen.hand[2], HEIGHTS, (1, 0)) * np.interp(aside, LANES, (1, 0))
    pushes *= np.interp(along, PAST, (1, 0))
    speed = min(FASTEST, SLOWEST + distance / SLOWING * FASTEST)
    onward = move(seen.hand, np.array([*(hand + ahead * speed * EE_STEP), LOW]))
    approach = come_down(seen, np.array([*(thing - BEHIND * ahead), LOW]), BEHIND_THE_CUBE)
    action: Array = pushes * onward + (1 - pushes) * approach
    return action
