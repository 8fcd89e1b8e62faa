"""Building blocks of the experts: actions as functions of the positions of hand and objects.

Positions are (3,) [m] in the world frame, openings [m]. An action moves the hand by at most
`EE_STEP` along each axis; its last entry opens or closes the fingers, if they are controlled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nondiff.envs.arm.robots.robot import EE_STEP

Array = NDArray[np.float64]

FALL = 0.6  # of a full action: faster, the motors can't stop the arm's fall within centimetres
OPEN, CLOSE = 1.0, -1.0  # of the fingers
OVER = 0.012  # [m] horizontal distance from an object within which the hand descends to it
HELD = 0.012  # [m] distance from the hand's centre within which an object is between the fingers
CLOSING = (1.0, 1.5)  # distance relative to OVER and HELD between which the fingers close
CARRY_GAIN, CARRY_STEP, BRAKE = 0.6, 0.04, 0.03  # 1, [m], [s]
GRIPPED = 0.06  # [m] maximum opening of fingers that hold a 4 cm cube at any orientation
SLOW = 0.15  # [m/s] speed below which a cube may be released


@dataclass(frozen=True)
class Seen:
    """An observation, split into hand, objects and goal."""

    hand: Array
    velocity: Array  # (3,) [m/s]
    opening: float  # [m]; 0 if the fingers are not controlled
    rest: Array  # the task's part of the observation
    goal: Array

    @classmethod
    def of(cls, observation: dict[str, Any], gripper: bool) -> Seen:
        """Split an observation."""
        state = np.asarray(observation["observation"], np.float64)
        goal = np.asarray(observation["desired_goal"], np.float64)
        opening = float(state[6]) if gripper else 0.0
        return cls(state[:3], state[3:6], opening, state[6 + gripper :], goal)


def move(hand: Array, target: Array) -> Array:
    """The displacement (3,) of the action that moves the hand closest to a target."""
    return np.clip((target - hand) / EE_STEP, [-1.0, -1.0, -FALL], 1.0)


@dataclass(frozen=True)
class Cone:
    """An upside-down cone above a target, along which the hand descends; [m] except the slope."""

    tip: float  # radius at the tip
    slope: float
    height: float  # at which the hand travels
    below: float  # depth below the cone at which the hand stops moving sideways


OVER_A_CUBE = Cone(OVER, slope=2.0, height=0.06, below=0.03)


def come_down(seen: Seen, target: Array, cone: Cone) -> Array:
    """The displacement (3,) of the next action on the way down to a target under a cone.

    It is continuous in the observation, as an expert should be: a network that imitates a jump
    averages both sides, which can stop the hand.
    """
    off = target - seen.hand
    beside = float(np.hypot(*off[:2]))
    rise = off[2] + min(max(cone.slope * (beside - cone.tip), 0.0), cone.height)
    free = np.clip(1 - rise / cone.below, 0.0, 1.0)
    sideways = free * np.clip(off[:2] / EE_STEP, -1.0, 1.0)
    return np.array([*sideways, np.clip(rise / EE_STEP, -FALL, 1.0)])


def grip(seen: Seen, target: Array, fingers: float) -> Array:
    """The action (4,) towards a target, with a command for the fingers."""
    return np.append(move(seen.hand, target), fingers)


def holds(seen: Seen, thing: Array) -> bool:
    """Whether an object is between closed fingers."""
    return bool(np.abs(seen.hand - thing).max() < 2 * HELD and seen.opening < GRIPPED)


def fetch(seen: Seen, thing: Array) -> Array:
    """The next action (4,) to grasp a cube: move over it, descend, close the fingers."""
    off = np.abs(seen.hand - thing)
    apart = max(float(np.hypot(*off[:2])) / OVER, off[2] / HELD)
    return np.append(come_down(seen, thing, OVER_A_CUBE), np.interp(apart, CLOSING, (CLOSE, OPEN)))


def carry(seen: Seen, thing: Array, velocity: Array, goal: Array) -> Array:
    """The action (4,) that moves a held object with velocity (3,) [m/s] towards a goal.

    The fingers press with equal forces but are not centred: an object would swing along their axis
    unless the hand brakes it.
    """
    ahead = np.clip(CARRY_GAIN * (goal - thing), -CARRY_STEP, CARRY_STEP)
    return grip(seen, seen.hand + ahead - BRAKE * velocity, CLOSE)


def let_go(seen: Seen, velocity: Array) -> Array:
    """The action (4,) that stops a held object with velocity (3,) [m/s], then releases it."""
    if float(np.abs(velocity).max()) > SLOW:
        return grip(seen, seen.hand - BRAKE * velocity, CLOSE)
    return grip(seen, seen.hand, OPEN)
