"""Push: come down behind the cube and drive it to the goal."""

from __future__ import annotations

from typing import Any

import numpy as np

from nondiff.envs.arm.experts.motion import Array, Seen, move, up
from nondiff.envs.arm.robot import EE_STEP

BEHIND = 0.065  # [m] from the object's centre, where the hand comes down
LANE = 0.02  # [m] beside the line through object and goal, within which the hand pushes
ABOVE = 0.06  # [m] of the hand on its way over the object
LOW = 0.015  # [m] of the hand that pushes
FASTEST, SLOWEST = 0.5, 0.1  # of a full action; faster, the object bounces off the hand
SLOWING = 0.05  # [m] from the goal, within which pushing slows down


def push(observation: dict[str, Any]) -> Array:
    """The action (3,) of a closed hand that drives an object to a goal on the table."""
    seen = Seen.of(observation, gripper=False)
    thing, hand = seen.rest[:2], seen.hand[:2]
    way = seen.goal[:2] - thing
    distance = max(float(np.hypot(*way)), 1e-6)
    ahead = way / distance
    along = float((hand - thing) @ ahead)
    aside = float(np.hypot(*(hand - thing - along * ahead)))
    if seen.hand[2] < 2 * LOW and along < 0 and aside < LANE:
        speed = min(FASTEST, SLOWEST + distance / SLOWING * FASTEST)
        return move(seen.hand, np.array([*(hand + ahead * speed * EE_STEP), LOW]))
    place = thing - BEHIND * ahead
    near = np.hypot(*(hand - place)) < LANE
    if not near and seen.hand[2] < ABOVE - LOW and along > -0.8 * BEHIND:
        return move(seen.hand, up(seen.hand))
    return move(seen.hand, np.array([*place, LOW if near else ABOVE]))
