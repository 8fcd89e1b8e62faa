"""Convert screens to observations: a stack of reduced grey frames."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray
from PIL import Image

HEIGHT, WIDTH = 45, 60  # [px]

Pixels = NDArray[np.uint8]


class FrameStack:
    """The last reduced screens, oldest first.

    Args:
        depth: number of screens.
    """

    def __init__(self, depth: int) -> None:
        self._frames: deque[Pixels] = deque(maxlen=depth)

    def begin(self, screen: Pixels) -> None:
        """Start an episode by filling the stack with its first screen."""
        self._frames.extend([reduced(screen)] * (self._frames.maxlen or 1))

    def append(self, screen: Pixels | None) -> None:
        """Add the next grey screen (height, width); None: repeat the last one."""
        self._frames.append(self._frames[-1] if screen is None else reduced(screen))

    def observation(self) -> Pixels:
        """The stack as a new array (depth, HEIGHT, WIDTH)."""
        return np.stack(self._frames)


def reduced(screen: Pixels) -> Pixels:
    """Reduce a grey screen to (HEIGHT, WIDTH) by averaging over areas."""
    return np.asarray(Image.fromarray(screen).resize((WIDTH, HEIGHT), Image.Resampling.BOX))
