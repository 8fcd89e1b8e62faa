"""From the screen to the observation."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray
from PIL import Image

HEIGHT, WIDTH = 45, 60  # [px]

Pixels = NDArray[np.uint8]


class FrameStack:
    """The last screens, reduced, the oldest first.

    Args:
        depth: how many.
    """

    def __init__(self, depth: int) -> None:
        self._frames: deque[Pixels] = deque(maxlen=depth)

    def begin(self, screen: Pixels) -> None:
        """Start an episode: what came before its first screen is taken to have been the same."""
        self._frames.extend([reduced(screen)] * (self._frames.maxlen or 1))

    def append(self, screen: Pixels | None) -> None:
        """Add the next screen, (height, width) in grey; None: the last one once more."""
        self._frames.append(self._frames[-1] if screen is None else reduced(screen))

    def observation(self) -> Pixels:
        """A new array (depth, HEIGHT, WIDTH)."""
        return np.stack(self._frames)


def reduced(screen: Pixels) -> Pixels:
    """A grey screen, averaged over areas to (HEIGHT, WIDTH)."""
    return np.asarray(Image.fromarray(screen).resize((WIDTH, HEIGHT), Image.Resampling.BOX))
