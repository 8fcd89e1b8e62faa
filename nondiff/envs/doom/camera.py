"""Render an episode with a second engine that repeats it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from nondiff.envs.doom.engine import Engine, Moment
from nondiff.envs.doom.frames import Pixels
from nondiff.envs.doom.scenario import TIC_RATE, Scenario
from nondiff.errors import MissingDependencyError

RESOLUTION = "640X480"


class Camera:
    """Renders an episode in colour, at full resolution.

    Args:
        scenario: the scenario.
        mode: "rgb_array", "rgb_array_list" or "human".
        timeout: see `Engine`.
    """

    def __init__(self, scenario: Scenario, mode: str, timeout: float) -> None:
        self._engine = Engine(scenario, RESOLUTION, colour=True, timeout=timeout)
        self._mode = mode
        self._window = Window() if mode == "human" else None
        self._frames: list[Pixels] = []

    @property
    def pid(self) -> int | None:
        """PID of the engine."""
        return self._engine.pid

    def new_episode(self, seed: int) -> None:
        """Begin the episode with the seed of the first engine."""
        self._frames.clear()
        self._keep(self._engine.new_episode(seed))

    def act(self, buttons: Sequence[int], tics: int) -> None:
        """Repeat an action, tic by tic if each tic is rendered."""
        if self._mode == "rgb_array":
            self._keep(self._engine.act(buttons, tics))
            return
        for _ in range(tics):
            self._keep(self._engine.act(buttons, 1))

    def picture(self) -> Any:
        """A picture (480, 640, 3), or the list of pictures since the last call."""
        if self._mode == "rgb_array":
            return self._frames[-1].copy()
        frames, self._frames = self._frames, []
        return frames

    def close(self) -> None:
        """End the engine, and close the window."""
        self._engine.close()
        if self._window:
            self._window.close()

    def _keep(self, moment: Moment) -> None:
        screen = moment.screen
        if screen is None:  # the episode has ended: keep its last picture
            return
        if self._mode == "rgb_array":
            self._frames.clear()
        if self._window:
            self._window.show(screen)
        else:
            self._frames.append(screen)


class Window:
    """A window that shows pictures at the rate of the game's clock."""

    def __init__(self) -> None:
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        import pygame

        self._pygame = pygame
        pygame.display.init()
        self._shown_at = 0.0
        self._surface: Any = None

    def show(self, picture: Pixels) -> None:
        """Show a picture (height, width, 3), and wait for the next tic."""
        if self._surface is None:
            self._surface = self._pygame.display.set_mode((picture.shape[1], picture.shape[0]))
            self._pygame.display.set_caption("nondiff: Doom")
        self._pygame.event.pump()
        surface = self._pygame.surfarray.make_surface(picture.swapaxes(0, 1))
        self._surface.blit(surface, (0, 0))
        self._pygame.display.flip()
        time.sleep(max(0.0, self._shown_at + 1 / TIC_RATE - time.monotonic()))
        self._shown_at = time.monotonic()

    def close(self) -> None:
        """Close the window."""
        self._pygame.display.quit()


def check_display() -> None:
    """Raise if a window can't be opened.

    Raises:
        MissingDependencyError: neither DISPLAY nor WAYLAND_DISPLAY is set.
    """
    if sys.platform == "linux" and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        raise MissingDependencyError(
            "render_mode='human' needs a display and DISPLAY is not set; "
            "use render_mode='rgb_array', or run under xvfb-run"
        )
