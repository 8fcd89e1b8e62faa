"""The failure of a call of a program, classified by kind."""

from __future__ import annotations

import os
import signal
from typing import Literal

Kind = Literal[
    "invalid input", "start failure", "timeout", "crash", "nonconvergence", "invalid output"
]
TAIL = 400  # characters of each output stream that a message quotes


class CallFailed(Exception):  # noqa: N818 - becomes a failed row, not a user's error
    """A call of a program failed and gave no outcome.

    Args:
        kind: "invalid input" (it was not run), "start failure", "timeout", "crash" (a signal or an
            exit code that is not accepted), "nonconvergence" (it reported that it found no answer),
            or "invalid output" (missing, of the wrong shape, not finite, out of range).
        message: what happened.
        stderr: its standard error; the end is kept.
        stdout: its standard output; the end is kept, since many programs report errors there.
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
        """A copy of this failure with the program's output."""
        return CallFailed(self.kind, self.message, stderr, stdout)


def end_in_words(code: int, file_size: int | None = None) -> str:
    """Describe how a process ended, such as "exited with code 3" or "was killed by SIGSEGV".

    Args:
        code: exit code, or minus the number of the fatal signal.
        file_size: its limit of file sizes, for SIGXFSZ [bytes].
    """
    if code >= 0:
        return f"exited with code {code}"
    names = {int(number): number.name for number in signal.Signals}
    text = f"was killed by {names.get(-code, f'signal {-code}')}"
    if os.name == "posix" and -code == signal.SIGXFSZ and file_size is not None:
        text += f": it wrote a file beyond {file_size:,} bytes"
    return text
