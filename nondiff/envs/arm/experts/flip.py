"""Flip: tip the cube over its edges with pressed fingers, and spin it by pushes off its centre."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nondiff.envs.arm.experts.motion import CLOSE, Array, Seen, grip
from nondiff.envs.arm.experts.slide import FINGERS
from nondiff.envs.arm.experts.tumbling import face_to_bring_up, faces, matrix, spin
from nondiff.envs.arm.one_object import CUBE_SIZE
from nondiff.envs.arm.robot import EE_STEP

MIDDLE = np.array([-0.05, 0.0])  # [m]: where the arm has most room
AHEAD = 0.04  # [s] by which the cube's way is foreseen
CLEAR, NEARLY_CLEAR = 0.065, 0.055  # [m]: heights of the hand that passes over the cube
BACK_OFF = 0.2  # of a full action, away from the cube on the way up

# Tipping:
LEAD, LAG, SLIPPED = 0.021, 0.012, 0.04  # [m] from the cube's centre: where to press, and may
BESIDE = 0.015  # [m] of a hand that presses, at most
PRESSED = 0.054  # [m] of the hand when its fingers are on top
PRESS_AT = 0.045  # [m] where it aims
DRAG, PRESS = 0.5, 0.5  # of a full action
# Away from the arm's base the hand slips sooner:
OUTWARD, OUTWARD_LEAD, OUTWARD_DRAG, OUTWARD_PRESS = 0.75, 0.018, 0.15, 0.2
EXACT = 0.006  # [m] off its place, at which the hand comes down
STAY, FAR = 0.2, 0.5  # in tips: of going elsewhere, and of each metre from the middle

# Spinning:
INNER = 0.01  # [m] from the line through the cube's centre to the fingers' nearer edge
RUN_UP, THROUGH = 0.015, 0.03  # [m] before and after the first touch
LANE = 0.01  # [m] beside the line, at most
AIM = 0.01  # [m] off its place, at which the hand comes down
PUSHING, LOW = 0.02, 0.03  # [m]: heights of the hand that pushes
PUSH = 0.6  # of a full action


def flip(observation: dict[str, Any]) -> Array:
    """The action (4,) of a hand that keeps its fingers closed."""
    seen = Seen.of(observation, gripper=True)
    cube, goal = matrix(seen.rest[3:7]), matrix(seen.goal)

    def effort(face: Array) -> float:
        ahead = _unit(-face[:2])
        off = float(np.hypot(*(seen.hand[:2] - seen.rest[:2] - LEAD * ahead)))
        elsewhere = STAY * min(off / 0.03, 1.0) if seen.hand[2] < 0.08 else 0.0
        return elsewhere + FAR * float(np.hypot(*(seen.rest[:2] + 0.08 * ahead - MIDDLE)))

    over = float(np.hypot(*(seen.hand[:2] - seen.rest[:2]))) < SLIPPED + 0.01
    pressed = over and LOW < seen.hand[2] < NEARLY_CLEAR
    face = face_to_bring_up(cube, goal, effort, pressed)
    return _spin(seen, cube, spin(cube, goal)[0]) if face is None else _tip(seen, face)


def _tip(seen: Seen, face: Array) -> Array:
    """Press on the edge opposite a face and drag: the cube tips over, and the face comes up."""
    ahead = _unit(-face[:2])
    off = seen.hand[:2] - seen.rest[:2]
    along = float(off @ ahead)
    aside = off - along * ahead
    beside = float(np.hypot(*aside))
    height = seen.hand[2]
    outward = ahead[0] > OUTWARD
    lead = OUTWARD_LEAD if outward else LEAD
    drag, press = (OUTWARD_DRAG, OUTWARD_PRESS) if outward else (DRAG, PRESS)
    presses = LOW < height < PRESSED and lead - LAG < along < SLIPPED and beside < BESIDE
    if presses or (face[2] > 0.1 and height < 0.06 and along > -0.01):
        return np.array([*(ahead * drag - 10 * aside), -press, CLOSE])
    place = seen.rest[:2] + AHEAD * seen.rest[7:9] + lead * ahead
    missing = float(np.hypot(*(seen.hand[:2] - place)))
    if missing > BESIDE and height < NEARLY_CLEAR:
        return _rise(off)
    return grip(seen, np.array([*place, PRESS_AT if missing < EXACT else CLEAR]), CLOSE)


class Push(NamedTuple):
    """A push against a side of the cube, off its centre."""

    along: Array  # (2,) unit vector
    reached: float  # [m] beyond the first touch
    aside: float  # [m] off the line
    place: Array  # (2,) [m] where the hand comes down
    effort: float


def _spin(seen: Seen, cube: Array, angle: float) -> Array:
    """Push the side that is nearest so that the cube turns by an angle [rad] about the vertical."""
    sides = [face for face in faces(cube) if abs(face[2]) < 0.5]
    push = min((_push(seen, _unit(side[:2]), angle) for side in sides), key=lambda p: p.effort)
    height = seen.hand[2]
    if height < LOW and -0.05 < push.reached < THROUGH and abs(push.aside) < LANE:
        across = np.array([-push.along[1], push.along[0]])
        step = PUSH * push.along - push.aside / EE_STEP * across
        return np.array([*step, (PUSHING - height) / EE_STEP, CLOSE])
    missing = float(np.hypot(*(seen.hand[:2] - push.place)))
    if missing > AIM and height < NEARLY_CLEAR and push.reached > -RUN_UP:
        return _rise(seen.hand[:2] - seen.rest[:2])
    return grip(seen, np.array([*push.place, PUSHING if missing < AIM else CLEAR]), CLOSE)


def _push(seen: Seen, along: Array, angle: float) -> Push:
    cube = seen.rest[:2] + AHEAD * seen.rest[7:9]
    across = np.array([-along[1], along[0]])
    front = CUBE_SIZE / 2 + float(FINGERS @ np.abs(along))
    side = -np.sign(angle) * (INNER + float(FINGERS @ np.abs(across)))
    off = seen.hand[:2] - cube
    place = cube - (front + RUN_UP) * along + side * across
    effort = np.hypot(*(seen.hand[:2] - place)) + np.hypot(*(cube + 0.1 * along - MIDDLE))
    return Push(along, float(off @ along) + front, float(off @ across) - side, place, float(effort))


def _rise(off: Array) -> Array:
    """The action (4,) up and away from a cube that lies `off` (2,) [m] behind the hand."""
    return np.array([*(BACK_OFF * _unit(off)), 1.0, CLOSE])


def _unit(vector: Array) -> Array:
    unit: Array = vector / max(float(np.hypot(*vector)), 1e-6)
    return unit
