"""Image observations: their options, space and content."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from gymnasium import spaces

from nondiff.envs.arm.cameras.view import FAR, View, parsed_view
from nondiff.errors import InvalidOptionError
from nondiff.validation import check_whole, from_json

Mode = Literal["rgb", "depth", "depth_image", "segmentation"]
Beside = Literal["goals", "robot", "nothing"]

CHANNELS = {
    "rgb": 3,
    "depth": 1,
    "depth_image": 1,
    "segmentation": 1,
}  # channels of each mode's pictures
BESIDE = {  # the keys kept beside the pictures
    "goals": ("achieved_goal", "desired_goal", "observation"),
    "robot": ("observation",),
    "nothing": (),
}
MAX_SIDE = 4096  # [px]


@dataclass(frozen=True)
class CameraObservation:
    """A camera whose pictures are part of observations, with the mode as the key.

    Args:
        modes: "rgb": (height, width, 3) uint8. "depth": (height, width, 1) float32, distance along
            the camera's axis [m], `FAR` for the background. "depth_image": the same as uint8, for
            convolutional networks; 0 is `DEPTH_REACH` before the view's target, 255 as far behind
            it. "segmentation": (height, width, 1) uint8, the values of `SEGMENTS`.
        width: [px].
        height: [px].
        beside: what else is observed. "goals": both goals, for hindsight relabelling, and
            `observation` with the robot's state alone; pictures do not show the goal. "robot": the
            robot's state alone; pictures show the goal. "nothing": pictures alone, which show the
            goal; a single mode is a plain Box.
        view: the view of the camera.

    Raises:
        InvalidOptionError: a value outside these choices.
    """

    modes: Sequence[Mode] = ("rgb",)
    width: int = 84
    height: int = 84
    beside: Beside = "goals"
    view: View = field(default_factory=View)

    def __post_init__(self) -> None:
        modes = tuple(self.modes) if isinstance(self.modes, list | tuple) else (self.modes,)
        known = all(mode in list(CHANNELS) for mode in modes)
        if not (modes and known and len(set(modes)) == len(modes)):
            raise InvalidOptionError(
                f"modes must be some of {', '.join(CHANNELS)}, each once, not {self.modes!r}"
            )
        check_whole("width", self.width, 1, MAX_SIDE)
        check_whole("height", self.height, 1, MAX_SIDE)
        if self.beside not in list(BESIDE):
            raise InvalidOptionError(
                f"beside {self.beside!r} is unknown; choose from {', '.join(BESIDE)}"
            )
        object.__setattr__(self, "modes", modes)
        object.__setattr__(self, "view", parsed_view("view", self.view))

    @property
    def shows_goal(self) -> bool:
        """Whether pictures show the goal, in which case observations hold no goals."""
        return self.beside != "goals"

    def space(self, plain: spaces.Space[Any], robot_size: int) -> spaces.Space[Any]:
        """The observation space.

        Args:
            plain: the observation space without a camera.
            robot_size: number of leading entries of its `observation` that are the robot's state.
        """
        assert isinstance(plain, spaces.Dict)
        parts: dict[str, spaces.Box] = {mode: self._picture_space(mode) for mode in self.modes}
        if self.beside == "nothing" and len(parts) == 1:
            return parts[self.modes[0]]
        for key in BESIDE[self.beside]:
            box = plain[key]
            assert isinstance(box, spaces.Box)
            size = robot_size if key == "observation" else None
            parts[key] = spaces.Box(box.low[:size], box.high[:size])
        return spaces.Dict({key: parts[key] for key in sorted(parts)})

    def observation(self, plain: dict[str, Any], robot_size: int, pictures: dict[str, Any]) -> Any:
        """Combine an observation without a camera with pictures by mode."""
        if self.beside == "nothing" and len(pictures) == 1:
            return pictures[self.modes[0]]
        kept = {key: plain[key] for key in BESIDE[self.beside]}
        if "observation" in kept:
            kept["observation"] = kept["observation"][:robot_size].copy()
        both = {**kept, **pictures}
        return {key: both[key] for key in sorted(both)}

    def _picture_space(self, mode: Mode) -> spaces.Box:
        shape = (self.height, self.width, CHANNELS[mode])
        if mode == "depth":
            return spaces.Box(0.0, FAR, shape, np.float32)
        return spaces.Box(0, 255, shape, np.uint8)


def parsed_camera(camera: Any) -> CameraObservation | None:
    """Parse a `CameraObservation`, a dict of its fields, or its modes, such as "rgb+depth".

    Raises:
        InvalidOptionError, UnknownNameError: none of these, nor None.
    """
    if camera is None:
        return None
    if isinstance(camera, str):
        camera = {"modes": camera.split("+")}
    return from_json(CameraObservation, "camera", camera)
