"""A clock that does not advance while this process is stopped."""

from __future__ import annotations

import time


class AwakeClock:
    """A clock that advances by a bounded amount per reading: Ctrl-Z causes no timeout.

    Args:
        at_most: maximum advance between two readings [s].
    """

    def __init__(self, at_most: float) -> None:
        self._at_most = at_most
        self._seconds = 0.0
        self._seen = time.monotonic()

    def now(self) -> float:
        """Seconds since the clock was made."""
        seen = time.monotonic()
        self._seconds += min(seen - self._seen, self._at_most)
        self._seen = seen
        return self._seconds
