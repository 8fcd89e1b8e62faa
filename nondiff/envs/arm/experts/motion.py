"""Moves that the experts are made of: functions of where the hand and an object are.

Positions are (3,) [m], openings [m]; all in the world frame. An action moves the hand by at most
`EE_STEP` along each axis, and then opens or closes the fingers where they are driven.
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
OVER = 0.012  # [m] beside an object, within which the hand comes down to it
HELD = 0.012  # [m] from the hand's middle, within which an object is between the fingers
CLOSING = (1.0, 1.5)  # of these two, between which the fingers begin to close
CARRY_GAIN, CARRY_STEP, BRAKE = 0.6, 0.04, 0.03  # 1, [m], [s]
GRIPPED = 0.06  # [m]: fingers that close stop below it at a cube of 4 cm, however it is turned
SLOW = 0.15  # [m/s] of a cube that may be let go


@dataclass(frozen=True)
class Seen:
    """What an observation says of the hand and of objects."""

    hand: Array
    velocity: Array  # (3,) [m/s]
    opening: float  # [m]; 0 where fingers are not driven
    rest: Array  # the task's part of the observation
    goal: Array

    @classmethod
    def of(cls, observation: dict[str, Any], gripper: bool) -> Seen:
        """Take an observation apart."""
        state = np.asarray(observation["observation"], np.float64)
        goal = np.asarray(observation["desired_goal"], np.float64)
        opening = float(state[6]) if gripper else 0.0
        return cls(state[:3], state[3:6], opening, state[6 + gripper :], goal)


def move(hand: Array, target: Array) -> Array:
    """The displacement (3,) of the action that brings the hand nearest to a target."""
    return np.clip((target - hand) / EE_STEP, [-1.0, -1.0, -FALL], 1.0)


@dataclass(frozen=True)
class Cone:
    """A cone on its tip, on which the hand comes down; [m] but for the slope."""

    tip: float  # its radius there
    slope: float
    height: float  # where the hand travels
    below: float  # it, where the hand stops moving sideways


OVER_A_CUBE = Cone(OVER, slope=2.0, height=0.06, below=0.03)


def come_down(seen: Seen, target: Array, cone: Cone) -> Array:
    """The displacement (3,) of the action that is next on the way to a target under a cone.

    It is continuous, as all of an expert should be, so that a network that imitates it gets it
    nearly right nearly everywhere: where an action jumps, a mean of both sides keeps the hand where
    it is.
    """
    off = target - seen.hand
    beside = float(np.hypot(*off[:2]))
    rise = off[2] + min(max(cone.slope * (beside - cone.tip), 0.0), cone.height)
    free = np.clip(1 - rise / cone.below, 0.0, 1.0)
    sideways = free * np.clip(off[:2] / EE_STEP, -1.0, 1.0)
    return np.array([*sideways, np.clip(rise / EE_STEP, -FALL, 1.0)])


def grip(seen: Seen, target: Array, fingers: float) -> Array:
    """The action (4,) towards a target with the fingers opening or closing."""
    return np.append(move(seen.hand, target), fingers)


def holds(seen: Seen, thing: Array) -> bool:
    """Whether an object is between closed fingers."""
    return bool(np.abs(seen.hand - thing).max() < 2 * HELD and seen.opening < GRIPPED)


def fetch(seen: Seen, thing: Array) -> Array:
    """The action (4,) that is next on the way to holding a cube: over it, down, close."""
    off = np.abs(seen.hand - thing)
    apart = max(float(np.hypot(*off[:2])) / OVER, off[2] / HELD)
    return np.append(come_down(seen, thing, OVER_A_CUBE), np.interp(apart, CLOSING, (CLOSE, OPEN)))


def carry(seen: Seen, thing: Array, velocity: Array, goal: Array) -> Array:
    """The action (4,) that moves a held object, at a velocity (3,) [m/s], towards a goal.

    The fingers press with equal forces and nothing centres them: an object swings along their axis
    as far as they open, unless the hand brakes it.
    """
    ahead = np.clip(CARRY_GAIN * (goal - thing), -CARRY_STEP, CARRY_STEP)
    return grip(seen, seen.hand + ahead - BRAKE * velocity, CLOSE)


def let_go(seen: Seen, velocity: Array) -> Array:
    """The action (4,) that stops a held object, at a velocity (3,) [m/s], and opens the fingers."""
    if float(np.abs(velocity).max()) > SLOW:
        return grip(seen, seen.hand - BRAKE * velocity, CLOSE)
    return grip(seen, seen.hand, OPEN)
