"""What can go wrong in a call of a program, in kinds that can be counted."""

from __future__ import annotations

import os
import signal
from typing import Literal

Kind = Literal[
    "invalid input", "start failure", "timeout", "crash", "nonconvergence", "invalid output"
]
TAIL = 400  # characters of each of its outputs that a message quotes


class CallFailed(Exception):  # noqa: N818 - it becomes a failed row, not an error of the user's
    """One call of a program that gave no outcome.

    Args:
        kind: "invalid input" (it was not run), "start failure", "timeout", "crash" (a signal or an
            exit code that is not accepted), "nonconvergence" (it says that it found no answer), or
            "invalid output" (missing, of the wrong shape, not finite, out of range).
        message: what happened.
        stderr: what it wrote to its error output, of which the end is kept.
        stdout: what it wrote to its output, likewise; many programs give their reasons there.
    """

    def __init__(self, kind: Kind, message: str, stderr: str = "", stdout: str = "") -> None:
        self.kind: Kind = kind
        self.message = message
        self.stderr, self.stdout = stderr[-TAIL:], stdout[-TAIL:]
        text = f"{kind}: {message}"
        if said := " ".join(self.stderr.split()):
            text += f"; it said: {said}"
        if printed := " ".join(self.stdout.split()):
            text += f"; it printed: {printed}"
        super().__init__(text)

    def with_said(self, stderr: str, stdout: str = "") -> CallFailed:
        """The same, with what the program said."""
        return CallFailed(self.kind, self.message, stderr, stdout)


def end_in_words(code: int, file_size: int | None = None) -> str:
    """How a process ended, such as "exited with code 3" or "was killed by SIGSEGV".

    Args:
        code: its exit code, or minus the number of the signal that ended it.
        file_size: the limit that it had, which SIGXFSZ refers to. [bytes]
    """
    if code >= 0:
        return f"exited with code {code}"
    names = {int(number): number.name for number in signal.Signals}
    text = f"was killed by {names.get(-code, f'signal {-code}')}"
    if os.name == "posix" and -code == signal.SIGXFSZ and file_size is not None:
        text += f": it wrote a file beyond {file_size:,} bytes"
    return text
