"""Calls into a library that may never come back."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

LOOK_SECONDS = 0.25


class Unanswered(Exception):  # noqa: N818 - what happened, not whose fault it was
    """A call was left, for it did not come back."""


class Caller:
    """Calls functions on a thread of its own, which can be left in a call.

    Between ViZDoom and its engine lie locks that an engine may take to its grave; the call that
    waits for such a lock waits for ever.
    """

    def __init__(self) -> None:
        self._requests: SimpleQueue[Any] = SimpleQueue()
        self._answers: SimpleQueue[Any] = SimpleQueue()
        self._numbers = itertools.count()
        self.is_stuck = False
        queues = (self._requests, self._answers)
        threading.Thread(target=_serve, args=queues, name="doom", daemon=True).start()

    def __call__(self, function: Callable[[], Any], may_wait: Callable[[float], bool]) -> Any:
        """What the function returns or raises.

        Args:
            function: to be called.
            may_wait: asked every `LOOK_SECONDS`, with the seconds waited; a stop of this process
                by Ctrl-Z counts as no time.

        Raises:
            Unanswered: it was told not to wait any longer.
        """
        number = next(self._numbers)
        self._requests.put((number, function))
        waited = 0.0
        while True:
            try:
                answered, value, error = self._answers.get(timeout=LOOK_SECONDS)
            except Empty:
                waited += LOOK_SECONDS
                if not may_wait(waited):
                    self.is_stuck = True
                    raise Unanswered(f"no answer for {waited:g} s") from None
                continue
            if answered != number:  # to a call that Ctrl-C had interrupted
                continue
            if error is not None:
                raise error
            return value

    def end(self) -> None:
        """End the thread, once it is done."""
        self._requests.put(None)


def _serve(requests: SimpleQueue[Any], answers: SimpleQueue[Any]) -> None:
    while request := requests.get():
        number, function = request
        try:
            answers.put((number, function(), None))
        except Exception as error:
            answers.put((number, None, error))
        del request, function
