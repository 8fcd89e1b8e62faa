"""Expert of Slide: hit the puck so that it slides through the goal."""

from __future__ import annotations

from typing import Any

import numpy as np

from nondiff.envs.arm.experts.motion import Array, Cone, Seen, come_down, move
from nondiff.envs.arm.robots.robot import EE_STEP
from nondiff.envs.arm.tasks.slide import RADIUS

FINGERS = np.array(
    [0.0105, 0.018]
)  # [m] half extents of the closed fingertips along x and y, near the table
DECELERATION = 0.2  # [m/s^2] of the puck by friction
NEAR_MISS = 0.04  # [m] predicted miss below which a sliding puck is left alone
FAST_ENOUGH = 0.8  # of the speed that carries the puck to the goal's centre; its edge comes first
BACKSWING = 0.03  # [m] from the puck to the hand as it descends behind it
LANES = (0.014, 0.02)  # [m] beside the line: the stroke fades out between the two
HEIGHTS = (0.024, 0.03)  # [m] of the hand: the stroke fades out between the two
STRIKING = 0.02  # [m] height of the hand during the stroke
BEHIND_THE_PUCK = Cone(
    tip=0.002, slope=3.0, height=0.045, below=0.02
)  # a corner off the line deflects
STROKE = 0.4  # of a full action
AHEAD = 0.08  # [s] of prediction of the puck's motion
RETREAT = 0.3  # of a full action, back and up from a sliding puck


def slide(observation: dict[str, Any]) -> Array:
    """The action (3,) of a closed hand.

    The puck has almost no friction with the fingers, so it moves along the line from the contact to
    its centre. The hand therefore hits it with the corner of the fingertips that is farthest along
    the required change of velocity.
    """
    seen = Seen.of(observation, gripper=False)
    puck, velocity = seen.rest[:2], seen.rest[6:8]
    way = seen.goal[:2] - puck
    distance = max(float(np.hypot(*way)), 1e-6)
    ahead = way / distance
    needed = np.sqrt(2 * DECELERATION * distance)
    if _will_pass(velocity, ahead, distance, float(needed)):
        return RETREAT * np.array([*-ahead, 1.0])
    change = needed * ahead - velocity
    return _strike(seen, puck + AHEAD * velocity, change / max(float(np.hypot(*change)), 1e-6))


def _will_pass(velocity: Array, ahead: Array, distance: float, needed: float) -> bool:
    """Whether the puck will slide through the goal without another stroke."""
    speed = float(velocity @ ahead)
    miss = float(np.hypot(*(velocity - speed * ahead))) * distance / max(speed, 1e-6)
    return speed > FAST_ENOUGH * needed and miss < NEAR_MISS


def _strike(seen: Seen, puck: Array, along: Array) -> Array:
    """The next action (3,) for a stroke at a puck (2,) [m] along a unit vector (2,).

    It blends continuously from the descent behind the puck to the stroke.
    """
    corner = FINGERS * np.sign(along)
    off = seen.hand[:2] + corner - puck
    reached = float(off @ along)
    aside = off - reached * along
    strikes = np.interp(seen.hand[2], HEIGHTS, (1.0, 0.0)) * (reached < 0)
    strikes *= np.interp(float(np.hypot(*aside)), LANES, (1.0, 0.0))
    target = seen.hand[:2] + STROKE * EE_STEP * along - aside
    stroke = move(seen.hand, np.array([*target, STRIKING]))
    place = puck - (RADIUS + BACKSWING) * along - corner
    approach = come_down(seen, np.array([*place, STRIKING]), BEHIND_THE_PUCK)
    action: Array = strikes * stroke + (1 - strikes) * approach
    return action
