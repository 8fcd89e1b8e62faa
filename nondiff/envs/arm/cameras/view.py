"""The view of a camera: its target, distance and angles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from nondiff.errors import InvalidOptionError
from nondiff.validation import check_number, from_json, is_number

NEAR, FAR = 0.05, 8.0  # [m] clipping planes
LIMITS = {  # (low, high, unit) of a view's values
    "distance": (NEAR, FAR, "m"),
    "yaw": (-360.0, 360.0, "degrees"),
    "pitch": (-90.0, 90.0, "degrees"),
    "fov": (1.0, 170.0, "degrees"),
}


@dataclass(frozen=True)
class View:
    """The view of a camera, relative to its target; None leaves a value to the task.

    Args:
        target: (3,) the point in the centre of the picture [m], world frame.
        distance: distance of the camera from the target [m].
        yaw: viewing direction about the vertical [degrees]: 0 is along +y, with the arm reaching to
            the right; 90 is along -x, facing the arm.
        pitch: elevation of the viewing direction [degrees]; -90 is straight down.
        fov: vertical field of view [degrees].

    Raises:
        InvalidOptionError: a value is not a number, or out of its `LIMITS`.
    """

    target: Sequence[float] | None = None
    distance: float | None = None
    yaw: float | None = None
    pitch: float | None = None
    fov: float | None = None

    def __post_init__(self) -> None:
        if self.target is not None and not _is_point(self.target):
            raise InvalidOptionError(
                f"target must be three numbers, x, y and z [m], not {self.target!r}"
            )
        for name, limits in LIMITS.items():
            value = getattr(self, name)
            if value is not None:
                check_number(name, value, *limits)

    def over(self, other: View) -> View:
        """Fill missing values of this view from another."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        return replace(other, **given)


def parsed_view(name: str, view: Any) -> View:
    """Parse a `View`, a dict of its fields, or None, which sets none of them.

    Raises:
        InvalidOptionError, UnknownNameError: none of these.
    """
    return from_json(View, name, {} if view is None else view)


def _is_point(value: Any) -> bool:
    return isinstance(value, Sequence) and len(value) == 3 and all(map(is_number, value))
