"""Plan how to turn a cube on a table to a goal orientation, by tipping it over edges and spinning.

Orientations are rotation matrices (3, 3) from the cube frame to the world frame. A face is its
outward unit normal (3,), world frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from nondiff.envs.arm.experts.motion import Array

LEVEL = 0.92  # z of the upper face above which a cube lies flat
TIPPED = 0.1  # z of a face above which the cube is being tipped towards it
UNDER = -0.6  # z of a face below which one tip doesn't bring it up
NEAR_ENOUGH = 0.805  # squared inner product of quaternions to aim for; success is above 0.8
BARELY = 0.85  # squared inner product below which the spin must be exact
# Efforts, in tips by 90 degrees:
OUT_OF_REACH, EXACT, SPIN, SPIN_PER_RADIAN, AGAIN = 3.0, 0.3, 0.6, 0.7, 0.7


def matrix(quaternion: Array) -> Array:
    """Convert a unit quaternion (x, y, z, w) to a rotation matrix (3, 3)."""
    x, y, z, w = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def faces(cube: Array) -> Iterator[Array]:
    """Yield the six faces (3,) of a cube."""
    for axis in cube.T:
        yield axis
        yield -axis


def spin(cube: Array, goal: Array) -> tuple[float, float]:
    """The spin [rad] about the vertical that brings a cube nearest to a goal, and the nearness.

    The nearness is the squared inner product of the two quaternions after the spin.
    """
    rest = goal @ cube.T
    c, s = rest[0, 0] + rest[1, 1], rest[1, 0] - rest[0, 1]
    return float(np.arctan2(s, c)), float(1 + np.hypot(c, s) + rest[2, 2]) / 4


def tipped(cube: Array, face: Array) -> Array:
    """The orientation after tipping a cube such that a face, not the bottom one, is on top."""
    x, y, z = face
    cross = np.array([[0, 0, -x], [0, 0, -y], [x, y, 0]])
    turned: Array = (np.eye(3) + cross + cross @ cross / (1 + z)) @ cube
    return turned


def face_to_bring_up(
    cube: Array, goal: Array, effort: Callable[[Array], float], pressed: bool
) -> Array | None:
    """Choose the face to bring up next; None: the cube only needs a spin.

    Args:
        cube: the current orientation.
        goal: the goal orientation.
        effort: effort to begin tipping towards a face, in tips.
        pressed: whether the fingers press on the cube, so that a started tip continues.
    """
    sides = list(faces(cube))
    best, chosen = np.inf, None
    under_way = any(TIPPED < abs(face[2]) < LEVEL for face in sides)
    if max(face[2] for face in sides) > LEVEL and not (pressed and under_way):
        best = _effort_of_spin(cube, goal)
    for face in sides:
        if not (TIPPED if under_way else UNDER) < face[2] < LEVEL:
            continue
        whole = effort(face) + float(np.arccos(face[2])) / (np.pi / 2)
        whole += _effort_after(tipped(cube, face), goal)
        if whole < best:
            best, chosen = whole, face
    return chosen


def _effort_after(cube: Array, goal: Array) -> float:
    """The effort for a flat cube: to spin it, or to tip it once more and then spin it."""
    again = [
        1 + AGAIN + _effort_of_spin(tipped(cube, face), goal)
        for face in faces(cube)
        if abs(face[2]) < 0.5
    ]
    return min(_effort_of_spin(cube, goal), *again)


def _effort_of_spin(cube: Array, goal: Array) -> float:
    angle, nearness = spin(cube, goal)
    if nearness < NEAR_ENOUGH:
        return OUT_OF_REACH + 1 - nearness
    free = 2 * np.arccos(np.sqrt(min(NEAR_ENOUGH / nearness, 1.0)))  # [rad] that need not be spun
    excess = max(abs(angle) - float(free), 0.0)
    return SPIN * (excess > 0) + SPIN_PER_RADIAN * excess + EXACT * (nearness < BARELY)
