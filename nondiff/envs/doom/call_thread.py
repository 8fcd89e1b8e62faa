"""Call functions that may hang, on a thread that can be abandoned."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

LOOK_SECONDS = 0.25  # [s] between checks of a waiting call


class Unanswered(Exception):  # noqa: N818 - an event, not a misuse
    """A call was abandoned since it did not return in time."""


class CallThread:
    """Calls functions on its own thread, which can be abandoned in a call that hangs.

    ViZDoom and its engine share locks. If the engine dies while it holds one, a call that waits for
    that lock hangs.
    """

    def __init__(self) -> None:
        self._requests: SimpleQueue[Any] = SimpleQueue()
        self._answers: SimpleQueue[Any] = SimpleQueue()
        self._numbers = itertools.count()
        self.is_stuck = False
        queues = (self._requests, self._answers)
        threading.Thread(target=_serve, args=queues, name="doom", daemon=True).start()

    def __call__(self, function: Callable[[], Any], may_wait: Callable[[float], bool]) -> Any:
        """Call a function on the thread; returns or raises what it does.

        Args:
            function: the function.
            may_wait: called every `LOOK_SECONDS` with the seconds waited so far, returns whether to
                keep waiting. Time during which this process is stopped by Ctrl-Z does not count.

        Raises:
            Unanswered: `may_wait` returned False.
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
            if answered != number:  # answers an earlier call, which Ctrl-C interrupted
                continue
            if error is not None:
                raise error
            return value

    def end(self) -> None:
        """End the thread after its current call."""
        self._requests.put(None)


def _serve(requests: SimpleQueue[Any], answers: SimpleQueue[Any]) -> None:
    while request := requests.get():
        number, function = request
        try:
            answers.put((number, function(), None))
        except Exception as error:
            answers.put((number, None, error))
        del request, function
