"""A program that stays and answers many requests over its input and output."""

from __future__ import annotations

import os
import select
import time
import weakref
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from nondiff.gym.copying import NeverCopied
from nondiff.processes.sandbox.failures import CallFailed, end_in_words
from nondiff.processes.sandbox.launch import launch
from nondiff.processes.sandbox.limits import Limits
from nondiff.processes.sandbox.program_files import Content
from nondiff.processes.sandbox.scratch import TAIL_BYTES, Scratch, decoded

RUNNING = ("_pipes", "_end")  # attributes of a process that was started
BLOCK = 1 << 16  # bytes that a pipe is read and written by
END_SECONDS = 2.0  # for the supervisor to see how a program has ended


class PersistentProcess:
    """One supervised process, which is started by the first request, and again after a failure.

    For one thread at a time. If it has written more than an answer by the next request, it is
    started anew, so that this is not taken for the next answer; a program that adds to its answers
    later than that can't be used.

    Args:
        command: the program and its arguments; no shell looks at them.
        files: contents by the names, relative to its folder, under which they are written there.
        limits: what it may use; the timeout is that of a request.
        environment: variables beside PATH, LANG, HOME and TMPDIR.

    Attributes:
        starts: times that it was started.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        files: Mapping[str, Content] | None = None,
        limits: Limits | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.command = tuple(command)
        self.limits = limits or Limits()
        self.starts = 0
        self._files, self._environment = dict(files or {}), dict(environment or {})
        self._begin()

    def _begin(self) -> None:
        self._pipes: Pipes | None = None
        self._end = weakref.finalize(self, lambda: None)

    def __getstate__(self) -> dict[str, Any]:
        """For a copy, which starts the program for itself."""
        kept = {name: value for name, value in self.__dict__.items() if name not in RUNNING}
        return kept | {"starts": 0}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        self.__dict__.update(kept)
        self._begin()

    def ask(self, request: str, last: str | None = None) -> str:
        """Send a request and wait for the answer.

        Args:
            request: text for its input, of whole lines.
            last: the line that ends an answer, white space around it aside; None: an answer is one
                line.

        Returns:
            What it wrote up to that line, which is left out; or its one line.

        Raises:
            CallFailed: a start failure, a timeout, a crash, or an answer that is too long. It is
                killed then, with all that it started.
        """
        pipes = self._started()
        try:
            return pipes.exchange(request.encode(), last)
        except CallFailed as failure:
            failure = failure.with_said(pipes.stderr.tail(), pipes.answered)
            self.fail()
            raise failure from None
        except BaseException:  # whatever is still to come belongs to nobody
            self.fail()
            raise

    def stderr(self) -> str:
        """The end of what it has written to its error output since the last request."""
        return "" if self._pipes is None else self._pipes.stderr.tail()

    def fail(self) -> None:
        """Kill it, and all that it started; the next request starts it again."""
        self._end()
        self._pipes = None

    close = fail

    def _started(self) -> Pipes:
        if self._pipes is not None and self._pipes.is_idle():
            return self._pipes
        self.fail()
        self._pipes = Pipes(self.command, self._files, self.limits, self._environment)
        self._end = weakref.finalize(self, self._pipes.close)
        self.starts += 1
        return self._pipes


class Pipes(NeverCopied):
    """The two ends of a running program."""

    instead = "copy the `PersistentProcess`, which starts the program anew"

    def __init__(
        self,
        command: Sequence[str],
        files: Mapping[str, Content],
        limits: Limits,
        environment: Mapping[str, str],
    ) -> None:
        self._limits = limits
        with ExitStack() as held:
            theirs_in, self._input = os.pipe()
            held.callback(os.close, theirs_in)
            self._output, theirs_out = os.pipe()
            held.callback(os.close, theirs_out)
            self.stderr = Scratch()
            self._is_open, self._is_spoiled = True, False
            self._answer = bytearray()
            streams = (theirs_in, theirs_out, self.stderr.number)
            try:
                self.launched = launch(command, files, limits, environment, streams)
            except BaseException:
                self._close_ends()
                raise
        os.set_blocking(self._input, False)
        os.set_blocking(self._output, False)

    @property
    def answered(self) -> str:
        """The end of what it has answered to the present request."""
        return decoded(bytes(self._answer[-TAIL_BYTES:]))

    def is_idle(self) -> bool:
        """Whether it runs, and has said nothing that nobody asked for."""
        return not self._is_spoiled and not select.select([self._output], [], [], 0)[0]

    def exchange(self, request: bytes, last: str | None) -> str:
        """Write a request while reading the answer, so that neither can block the other."""
        deadline = time.monotonic() + self._limits.timeout
        self.stderr.clear()
        self._answer = answer = bytearray()
        unsent = memoryview(request)
        looked_at = 0
        while True:
            self._wait(bool(unsent), deadline)
            if unsent:
                unsent = unsent[self._send(unsent) :]
            self._receive(answer)
            looked_at, end = _end_of_answer(answer, looked_at, last)
            if end is not None:
                self._is_spoiled = len(answer) > looked_at + 1  # it has said more than it was asked
                self.launched.sample_cpu()
                return decoded(bytes(answer[:end]))
            if len(answer) > self._limits.file_size:
                raise CallFailed("invalid output", f"it answered more than {len(answer):,} bytes")

    def _wait(self, is_sending: bool, deadline: float) -> None:
        left = max(0.0, deadline - time.monotonic())
        writes = [self._input] if is_sending else []
        ready = select.select([self._output], writes, [], left)
        if not any(ready):
            raise CallFailed(
                "timeout", f"it had not answered after {self._limits.timeout:g} s, and was killed"
            )

    def _send(self, unsent: memoryview) -> int:
        try:
            return os.write(self._input, unsent[:BLOCK])
        except BlockingIOError:
            return 0
        except BrokenPipeError:  # it may have answered all the same; else `_receive` tells
            return len(unsent)

    def _receive(self, answer: bytearray) -> None:
        try:
            part = os.read(self._output, BLOCK)
        except BlockingIOError:
            return
        if not part:
            raise CallFailed("crash", f"it {self._end()} before it had answered")
        answer += part

    def _end(self) -> str:
        """How it ended, whose output has."""
        try:
            code = self.launched.wait(time.monotonic() + END_SECONDS)
        except CallFailed as failure:
            if self.launched.is_beyond_limits:
                raise
            return "closed its output" if failure.kind == "timeout" else f"is lost ({failure})"
        return end_in_words(code, self._limits.file_size)

    def close(self) -> None:
        """End the program, and all that it started."""
        if self._is_open:
            self._close_ends()
            self.launched.close()

    def _close_ends(self) -> None:
        self._is_open = False
        for number in (self._input, self._output):
            os.close(number)
        self.stderr.close()


def _end_of_answer(answer: bytearray, start: int, last: str | None) -> tuple[int, int | None]:
    """Where to look next for the end of an answer, and where it is, if it is there."""
    while (newline := answer.find(b"\n", start)) >= 0:
        if last is None:
            return newline, newline
        if answer[start:newline].strip() == last.encode():
            return newline, start
        start = newline + 1
    return start, None
