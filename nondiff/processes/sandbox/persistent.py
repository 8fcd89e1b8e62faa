"""A program that keeps running and answers requests over its standard input and output."""

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

RUNNING = ("_pipes", "_end")  # attributes of a running process, which are not copied
BLOCK = 1 << 16  # [bytes] of a read or write of a pipe
END_SECONDS = 2.0  # [s] for the supervisor to report how a program ended


class PersistentProcess:
    """A supervised process, started by the first request and restarted after a failure.

    Only one thread may use it at a time. If it has written more than an answer before the next
    request, it is restarted, so that the surplus is not taken for the next answer. A program that
    writes surplus output later than that can't be used.

    Args:
        command: the program and its arguments; no shell interprets them.
        files: contents of its input files, by name relative to its folder.
        limits: resource limits; the timeout applies to each request.
        environment: variables in addition to PATH, LANG, HOME and TMPDIR.

    Attributes:
        starts: number of times that it was started.
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
        """The state without the running program, since a copy starts its own."""
        kept = {name: value for name, value in self.__dict__.items() if name not in RUNNING}
        return kept | {"starts": 0}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        self.__dict__.update(kept)
        self._begin()

    def ask(self, request: str, last: str | None = None) -> str:
        """Send a request and wait for the answer.

        Args:
            request: text for its standard input, of whole lines.
            last: the line that ends an answer, ignoring white space around it; None: an answer is
                one line.

        Returns:
            The output before the line `last`; or the single line.

        Raises:
            CallFailed: a start failure, a timeout, a crash, or an answer that is too long. The
                program and its descendants are killed.
        """
        pipes = self._started()
        try:
            return pipes.exchange(request.encode(), last)
        except CallFailed as failure:
            failure = failure.with_said(pipes.stderr.tail(), pipes.answered)
            self.fail()
            raise failure from None
        except BaseException:  # the rest of the answer must not be taken for the next one
            self.fail()
            raise

    def stderr(self) -> str:
        """The end of its standard error since the last request."""
        return "" if self._pipes is None else self._pipes.stderr.tail()

    def fail(self) -> None:
        """Kill the program and its descendants; the next request starts it again."""
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
    """A running program and the pipes to its standard input and output."""

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
        """The end of its answer to the current request."""
        return decoded(bytes(self._answer[-TAIL_BYTES:]))

    def is_idle(self) -> bool:
        """Whether it runs and has written nothing beyond its last answer."""
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
                self._is_spoiled = len(answer) > looked_at + 1  # it wrote more than the answer
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
        except BrokenPipeError:  # it may have answered anyway; if not, `_receive` raises
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
        """Describe how the program ended, after its output has closed."""
        try:
            code = self.launched.wait(time.monotonic() + END_SECONDS)
        except CallFailed as failure:
            if self.launched.is_beyond_limits:
                raise
            return "closed its output" if failure.kind == "timeout" else f"is lost ({failure})"
        return end_in_words(code, self._limits.file_size)

    def close(self) -> None:
        """End the program and its descendants."""
        if self._is_open:
            self._close_ends()
            self.launched.close()

    def _close_ends(self) -> None:
        self._is_open = False
        for number in (self._input, self._output):
            os.close(number)
        self.stderr.close()


def _end_of_answer(answer: bytearray, start: int, last: str | None) -> tuple[int, int | None]:
    """Find the end of an answer; returns where to search next, and the end, if found."""
    while (newline := answer.find(b"\n", start)) >= 0:
        if last is None:
            return newline, newline
        if answer[start:newline].strip() == last.encode():
            return newline, start
        start = newline + 1
    return start, None
