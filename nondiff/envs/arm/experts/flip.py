"""Expert of Flip: tip the cube over its edges by pressing, and spin it by off-centre pushes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nondiff.envs.arm.experts.motion import CLOSE, Array, Cone, Seen, come_down
from nondiff.envs.arm.experts.slide import FINGERS
from nondiff.envs.arm.experts.tumbling import face_to_bring_up, faces, matrix, spin
from nondiff.envs.arm.robots.robot import EE_STEP
from nondiff.envs.arm.tasks.one_object import CUBE_SIZE

MIDDLE = np.array([-0.05, 0.0])  # [m] where the arm has most room
AHEAD = 0.04  # [s] of prediction of the cube's motion
CLEAR, NEARLY_CLEAR = 0.065, 0.055  # [m] heights of the hand as it passes over the cube

# Tipping:
LEAD, LAG, SLIPPED = 0.021, 0.012, 0.04  # [m] from the cube's centre: pressing point, tolerances
BESIDE = 0.015  # [m] maximum lateral offset of the hand as it presses
PRESSED = 0.054  # [m] height of the hand when its fingers are on top
PRESS_AT = 0.045  # [m] height that it aims for
ON_TOP = Cone(tip=0.006, slope=2.2, height=CLEAR - PRESS_AT, below=0.01)
ROLLS = (0.05, 0.15)  # z of the rising face's unit vector as the cube begins to tip over
HIGH = (0.056, 0.064)  # [m] height of the hand at which it leaves a tipping cube
AHEAD_OF = (-0.012, -0.008)  # [m] from its centre, where the hand still drags it
DRAG, PRESS = 0.5, 0.5  # of a full action
# The hand slips sooner when it drags away from the arm's base:
OUTWARD, OUTWARD_LEAD, OUTWARD_DRAG, OUTWARD_PRESS = 0.75, 0.018, 0.15, 0.2
STAY, FAR = 0.2, 0.5  # effort in tips: of moving elsewhere, and per metre from the middle

# Spinning:
INNER = 0.01  # [m] from the line through the cube's centre to the fingers' nearer edge
RUN_UP, THROUGH = 0.015, 0.03  # [m] before and after the first contact
TO_RUN = 0.05  # [m] before the first contact, from where a lowered hand pushes
LANE = 0.01  # [m] maximum offset from the line
PUSHING, LOW = 0.02, 0.03  # [m] target and maximum height of the hand as it pushes
PUSH = 0.6  # of a full action
AT_A_SIDE = Cone(tip=0.005, slope=3.0, height=CLEAR - PUSHING, below=0.02)

# Widths over which the descent blends continuously into pressing or pushing:
IN_HEIGHT, IN_PLACE, IN_LANE = 0.006, 0.005, 0.003  # [m]


def flip(observation: dict[str, Any]) -> Array:
    """The action (4,) of a hand with closed fingers."""
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
    """Press on the edge opposite to a face, and drag: the cube tips over, and the face comes up."""
    ahead = _unit(-face[:2])
    off = seen.hand[:2] - seen.rest[:2]
    along = float(off @ ahead)
    aside = off - along * ahead
    outward = ahead[0] > OUTWARD
    lead = OUTWARD_LEAD if outward else LEAD
    drag, press = (OUTWARD_DRAG, OUTWARD_PRESS) if outward else (DRAG, PRESS)
    place = seen.rest[:2] + AHEAD * seen.rest[7:9] + lead * ahead
    approach = come_down(seen, np.array([*place, PRESS_AT]), ON_TOP)
    dragging = np.array([*(ahead * drag - 10 * aside), -press])
    presses = max(_on_top(seen, along, aside, lead), _rolls(seen, along, face))
    return np.append(presses * dragging + (1 - presses) * approach, CLOSE)


def _on_top(seen: Seen, along: float, aside: Array, lead: float) -> float:
    """Weight in [0, 1]: whether the fingers are on top of the cube, where they can tip it."""
    height, beside = seen.hand[2], float(np.hypot(*aside))
    if height < LOW:
        return 0.0
    ends = (lead - LAG, lead - LAG + IN_PLACE, SLIPPED - IN_PLACE, SLIPPED)
    down = np.interp(height, (PRESSED - IN_HEIGHT, PRESSED), (1, 0))
    in_line = np.interp(beside, (BESIDE - IN_PLACE, BESIDE), (1, 0))
    return float(down * in_line * np.interp(along, ends, (0, 1, 1, 0)))


def _rolls(seen: Seen, along: float, face: Array) -> float:
    """Weight in [0, 1]: whether the cube is tipping over under the fingers."""
    up = np.interp(face[2], ROLLS, (0, 1))
    return float(up * np.interp(seen.hand[2], HIGH, (1, 0)) * np.interp(along, AHEAD_OF, (0, 1)))


class Push(NamedTuple):
    """An off-centre push against a side of the cube."""

    along: Array  # (2,) unit vector
    reached: float  # [m] progress beyond the first contact
    aside: float  # [m] offset from the line
    place: Array  # (2,) [m] where the hand descends
    effort: float


def _spin(seen: Seen, cube: Array, angle: float) -> Array:
    """Push the nearest side such that the cube turns by an angle [rad] about the vertical."""
    sides = [face for face in faces(cube) if abs(face[2]) < 0.5]
    push = min((_push(seen, _unit(side[:2]), angle) for side in sides), key=lambda p: p.effort)
    across = np.array([-push.along[1], push.along[0]])
    step = PUSH * push.along - push.aside / EE_STEP * across
    pushing = np.array([*step, (PUSHING - seen.hand[2]) / EE_STEP])
    approach = come_down(seen, np.array([*push.place, PUSHING]), AT_A_SIDE)
    pushes = _beside(seen, push)
    return np.append(pushes * pushing + (1 - pushes) * approach, CLOSE)


def _beside(seen: Seen, push: Push) -> float:
    """Weight in [0, 1]: whether the hand is where a push starts or continues."""
    ends = (-TO_RUN, IN_PLACE - TO_RUN, THROUGH - IN_PLACE, THROUGH)
    down = np.interp(seen.hand[2], (LOW - IN_HEIGHT, LOW), (1, 0))
    in_lane = np.interp(abs(push.aside), (LANE - IN_LANE, LANE), (1, 0))
    return float(down * in_lane * np.interp(push.reached, ends, (0, 1, 1, 0)))


def _push(seen: Seen, along: Array, angle: float) -> Push:
    cube = seen.rest[:2] + AHEAD * seen.rest[7:9]
    across = np.array([-along[1], along[0]])
    front = CUBE_SIZE / 2 + float(FINGERS @ np.abs(along))
    side = -np.sign(angle) * (INNER + float(FINGERS @ np.abs(across)))
    off = seen.hand[:2] - cube
    place = cube - (front + RUN_UP) * along + side * across
    effort = np.hypot(*(seen.hand[:2] - place)) + np.hypot(*(cube + 0.1 * along - MIDDLE))
    return Push(along, float(off @ along) + front, float(off @ across) - side, place, float(effort))


def _unit(vector: Array) -> Array:
    unit: Array = vector / max(float(np.hypot(*vector)), 1e-6)
    return unit
