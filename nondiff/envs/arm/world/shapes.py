"""Shapes and colours of bodies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Colour = tuple[float, float, float, float]  # red, green, blue, alpha; the renderer ignores alpha
FACE_THICKNESS = 0.0005  # [m] of a coloured face of a box


@dataclass(frozen=True)
class Box:
    """A box with (3,) half extents [m]."""

    half_extents: tuple[float, float, float]

    def faces(self) -> list[tuple[list[float], list[float]]]:
        """Half extents [m] and centre [m] of a thin box per face: +x, -x, +y, -y, +z, -z."""
        faces = []
        for axis in range(3):
            for side in (1, -1):
                extents, centre = list(self.half_extents), [0.0] * 3
                extents[axis] = FACE_THICKNESS
                centre[axis] = side * (self.half_extents[axis] - FACE_THICKNESS)
                faces.append((extents, centre))
        return faces


@dataclass(frozen=True)
class Cylinder:
    """An upright cylinder."""

    radius: float  # [m]
    height: float  # [m]


@dataclass(frozen=True)
class Sphere:
    """A sphere."""

    radius: float  # [m]


Shape = Box | Cylinder | Sphere


@dataclass(frozen=True)
class SixColours:
    """A colour for each face of a box, in the order of `Box.faces`."""

    faces: Sequence[Colour]


def cube(size: float) -> Box:
    """A cube with edges of `size` [m]."""
    return Box((size / 2,) * 3)
