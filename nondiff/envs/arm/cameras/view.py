"""Where a camera stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from nondiff.errors import InvalidOptionError
from nondiff.validation import check_number, from_json, is_number

NEAR, FAR = 0.05, 8.0  # [m] from the camera: what is nearer or farther is not seen
LIMITS = {  # of a view's values
    "distance": (NEAR, FAR, "m"),
    "yaw": (-360.0, 360.0, "degrees"),
    "pitch": (-90.0, 90.0, "degrees"),
    "fov": (1.0, 170.0, "degrees"),
}


@dataclass(frozen=True)
class View:
    """Where a camera stands, told by the point that it looks at; None leaves a value to the task.

    Args:
        target: (3,) the point in the middle of the picture [m], world frame.
        distance: from there [m].
        yaw: the direction that the camera looks in, about the vertical [degrees]: 0 is along +y,
            which sees the arm reach to the right; 90 along -x, which faces it.
        pitch: how far it looks up, so mostly negative; -90 is straight down [degrees].
        fov: the angle that is seen, from top to bottom [degrees].

    Raises:
        InvalidOptionError: a value that is no number or out of its `LIMITS`.
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
        """A view like this one, with what it leaves out taken from another."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        return replace(other, **given)


def parsed_view(name: str, view: Any) -> View:
    """A view from itself, from an object of its fields, or from None, which sets none of them.

    Raises:
        InvalidOptionError, UnknownNameError: it is none.
    """
    return from_json(View, name, {} if view is None else view)


def _is_point(value: Any) -> bool:
    return isinstance(value, Sequence) and len(value) == 3 and all(map(is_number, value))
