"""The standard streams of a command's process: its answer on one, everything else on the other."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from contextlib import suppress
from typing import TextIO

INPUT, OUTPUT, ERROR = 0, 1, 2  # descriptors
GONE = (errno.EPIPE, errno.EIO, errno.EBADF)  # nobody reads a stream any more

_answers: TextIO | None = None


def answers() -> TextIO:
    """Where the command's answer goes: standard output, whatever others have been given as it."""
    return _answers or sys.stdout


def separate_streams() -> None:
    """Keep standard output for the answer alone, in a process that runs one command.

    What environments, libraries and the programs that they start print, from Python or from C and
    until the process has ended, goes to the error output. An error output that can't be written
    to does not stop the command. A stream that is closed is opened on the null device, so that no
    file that is opened later is taken for it. Nothing is done where a program that calls the
    command has replaced the streams.
    """
    global _answers
    if _answers or sys.stdout is not sys.__stdout__ or sys.stderr is not sys.__stderr__:
        return
    for number in (INPUT, OUTPUT, ERROR):
        _open_if_closed(number)
    kept = os.dup(OUTPUT)  # which no child inherits
    os.dup2(ERROR, OUTPUT)
    out, error = sys.stdout, sys.stderr
    if out is not None:
        with suppress(OSError):
            out.flush()  # what was printed before
    _answers = _text(_Descriptor(kept), out)
    sys.stdout = _text(_Forgiving(OUTPUT), out)
    sys.stderr = _text(_Forgiving(ERROR), error)


def _open_if_closed(number: int) -> None:
    try:
        os.fstat(number)
    except OSError:
        opened = os.open(os.devnull, os.O_RDWR)  # of the lowest number, which is this one
        os.set_inheritable(opened, True)
        assert opened == number


def _text(descriptor: io.RawIOBase, like: TextIO | None) -> TextIO:
    """A stream that keeps nothing back, so that nothing is left to fail at the process's end."""
    encoding = "utf-8" if like is None else like.encoding
    return io.TextIOWrapper(
        descriptor,  # type: ignore[type-var]  # as of `python -u`
        encoding,
        errors="backslashreplace",
        write_through=True,
    )


class _Descriptor(io.RawIOBase):
    """Writes all that it is given to a descriptor, or raises."""

    def __init__(self, number: int) -> None:
        self._number = number

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return os.isatty(self._number)

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        _write_all(self._number, data)
        return len(data)


class _Forgiving(_Descriptor):
    """A descriptor on which what can't be written is dropped."""

    def write(self, data: bytes) -> int:  # type: ignore[override]
        write_or_drop(self._number, data)
        return len(data)


def write_or_drop(number: int, data: bytes) -> None:
    """Write to a descriptor; what can't be written is dropped.

    If nobody reads it any more, it becomes the null device, for programs that would end by that.
    """
    try:
        _write_all(number, data)
    except OSError as error:
        if error.errno in GONE:
            with suppress(OSError):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, number)
                os.close(null)


def _write_all(number: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(number, left) :]
        except BlockingIOError:  # a pipe that somebody made so
            select.select([], [number], [])
