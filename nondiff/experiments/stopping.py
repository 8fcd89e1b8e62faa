"""Ends a command cleanly on Ctrl-C or SIGTERM, and tells them from what an environment raises."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from nondiff.errors import EnvironmentFailedError
from nondiff.experiments.terminal.console import is_plain
from nondiff.experiments.terminal.streams import ERROR, write_or_drop

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SHELL_CODE = 128  # plus the signal's number: a shell's exit code for a program that it ended
FIRST = b"\nstopping after this step; once more to exit at once\n"
SECOND = b"\nexiting at once\n"
SHOW_CURSOR = b"\x1b[?25h"  # which a progress bar hides


class Interrupted(Exception):  # noqa: N818
    """A signal asked for the end.

    Args:
        signum: the signal.
        what_is_left: of the command's work.
    """

    def __init__(self, signum: int, what_is_left: str = "") -> None:
        text = f"interrupted by {signal.Signals(signum).name}"
        super().__init__(f"{text}; {what_is_left}" if what_is_left else text)
        self.code = SHELL_CODE + signum
        self.run: Path | None = None  # the folder of the run that can be resumed
        self.options: list[str] = []  # that resuming it needs


class Stop:
    """While it is entered, the first SIGINT or SIGTERM is noted, and the second exits at once.

    Outside a process's main thread, where Python takes no signals, nothing is changed.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self._before: dict[signal.Signals, Any] = {}

    def check(self, what_is_left: str = "") -> None:
        """Raise `Interrupted` if a signal has come; its message says what is left, if given."""
        if self.signum is not None:
            raise Interrupted(self.signum, what_is_left)

    @contextmanager
    def no_other(self) -> Iterator[None]:
        """Turn a KeyboardInterrupt within into a failure: while this is entered, no signal is one.

        Raises:
            EnvironmentFailedError: it was raised by the environment, or a library.
        """
        try:
            yield
        except KeyboardInterrupt as error:
            if not self._before:
                raise
            self.check()
            raise raised_by_itself(error) from error

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:  # as of a script's background
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self.signum is not None:
            write_or_drop(ERROR, SECOND + (b"" if is_plain(sys.stderr) else SHOW_CURSOR))
            os._exit(SHELL_CODE + signum)
        self.signum = signum
        write_or_drop(ERROR, FIRST)


@contextmanager
def ctrl_c_noted() -> Iterator[Callable[[], bool]]:
    """Note Ctrl-C as it raises KeyboardInterrupt.

    Returns:
        says whether a KeyboardInterrupt may be the user's: one came, or it can't be told.
    """
    came: list[int] = []

    def note(signum: int, frame: FrameType | None) -> None:
        came.append(signum)
        signal.default_int_handler(signum, frame)

    before = signal.getsignal(signal.SIGINT)
    usual = before in (signal.SIG_DFL, signal.default_int_handler)  # SIG_DFL: as scripts import
    if not usual or threading.current_thread() is not threading.main_thread():
        yield lambda: True
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(came)
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def raised_by_itself(error: KeyboardInterrupt) -> EnvironmentFailedError:
    """What is said of a KeyboardInterrupt that no signal has raised."""
    details = "".join(traceback.format_exception(error))
    reason = "raised KeyboardInterrupt, but nobody pressed Ctrl-C"
    return EnvironmentFailedError(f"the environment, or a library of its, {reason}", details)
