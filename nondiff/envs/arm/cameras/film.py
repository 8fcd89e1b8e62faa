"""Render episodes: as pictures, or in PyBullet's window in real time."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nondiff.envs.arm.world.physics import DEFAULT
from nondiff.envs.arm.world.scene import Scene
from nondiff.errors import InvalidOptionError
from nondiff.validation import check_positive

RENDER_MODES = ("human", "rgb_array", "rgb_array_list")
FRAMES_PER_STEP = 5  # pictures per control step in mode "rgb_array_list"
CONTROL_RATE = round(1 / DEFAULT.control_step)  # [Hz] of every profile


class Film:
    """Takes the pictures that a render mode asks for.

    Args:
        scene: the scene to film.
        mode: None, or one of `RENDER_MODES`.
        size: width and height [px].

    Attributes:
        frames: the pictures since the last call of `taken`, in mode "rgb_array_list".
    """

    def __init__(self, scene: Scene, mode: str | None, size: tuple[int, int]) -> None:
        self._scene = scene
        self._mode = mode
        self._size = size
        self.frames: list[NDArray[np.uint8]] = []
        self._shown_at = 0.0

    def begin(self, reached: bool) -> None:
        """Begin an episode: discard earlier pictures, and show its start."""
        self.frames.clear()
        self.show(reached)

    def advance(self, substeps: int) -> None:
        """Step the simulation, and take the pictures within the step."""
        if self._mode != "rgb_array_list":
            self._scene.simulation.step(substeps)
            return
        for _ in range(FRAMES_PER_STEP - 1):
            self._scene.simulation.step(substeps // FRAMES_PER_STEP)
            self.frames.append(self._picture())
        self._scene.simulation.step(substeps // FRAMES_PER_STEP)

    def show(self, reached: bool) -> None:
        """Show the end of a step, with markers coloured by success."""
        if self._mode is None:
            return
        self._scene.show_success(reached)
        if self._mode == "rgb_array_list":
            self.frames.append(self._picture())
        elif self._mode == "human":
            time.sleep(max(0.0, self._shown_at + 1 / CONTROL_RATE - time.monotonic()))
            self._shown_at = time.monotonic()

    def taken(self, reached: bool) -> Any:
        """A picture (height, width, 3), the pictures since the last call, or None, by mode."""
        if self._mode == "rgb_array":
            self._scene.show_success(reached)
            return self._picture()
        if self._mode == "rgb_array_list":
            frames, self.frames = self.frames, []
            return frames
        return None

    def _picture(self) -> NDArray[np.uint8]:
        return self._scene.camera.image(*self._size)


def check_film(mode: str | None, width: int, height: int) -> None:
    """Validate a render mode and a picture size [px].

    Raises:
        InvalidOptionError: names the invalid value and the choices.
    """
    if mode is not None and mode not in RENDER_MODES:
        raise InvalidOptionError(
            f"render_mode {mode!r} is unknown; choose from {', '.join(RENDER_MODES)} or None"
        )
    for name, value in (("render_width", width), ("render_height", height)):
        check_positive(name, value)
