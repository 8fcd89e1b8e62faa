"""Time that does not pass while this process is stopped."""

from __future__ import annotations

import time


class AwakeClock:
    """Seconds of which only so many count between looks: a stop by Ctrl-Z makes no worker late.

    Args:
        at_most: of the time between two looks [s].
    """

    def __init__(self, at_most: float) -> None:
        self._at_most = at_most
        self._seconds = 0.0
        self._seen = time.monotonic()

    def now(self) -> float:
        """Seconds since this was made."""
        seen = time.monotonic()
        self._seconds += min(seen - self._seen, self._at_most)
        self._seen = seen
        return self._seconds
