"""A program that is started anew for each call."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from nondiff.envs.process.failures import CallFailed, end_in_words
from nondiff.envs.process.launching import Limits, launch
from nondiff.envs.process.scratch import Scratch


@dataclass(frozen=True)
class Output:
    """What a program left.

    Args:
        code: its exit code.
        stdout: its output.
        stderr: its error output.
        files: the texts of the files that were asked for, by name.
        cpu_seconds: CPU time that it took, with what it waited for. [s]
    """

    code: int
    stdout: str
    stderr: str
    files: dict[str, str]
    cpu_seconds: float


def run_once(
    command: Sequence[str],
    *,
    files: Mapping[str, str] | None = None,
    reads: Sequence[str] = (),
    stdin: str = "",
    limits: Limits | None = None,
    accept: Collection[int] | None = (0,),
    environment: Mapping[str, str] | None = None,
) -> Output:
    """Run a program to its end, in a folder of its own that is gone afterwards.

    Args:
        command: the program and its arguments; no shell looks at them.
        files: texts by the names, relative to the folder, under which they are written there.
        reads: names of files, relative to the folder, that it is to leave.
        stdin: what it finds on its input.
        limits: what it may use.
        accept: exit codes that may mean success; None: any. What it wrote is to be checked either
            way: programs exit with 0 on failure, and with 1 on success.
        environment: variables beside PATH, LANG, HOME and TMPDIR.

    Raises:
        CallFailed: a start failure, a timeout, a crash, or a file that it did not leave.
    """
    limits = limits or Limits()
    deadline = time.monotonic() + limits.timeout
    with ExitStack() as held:
        streams = [held.enter_context(closing(Scratch(text))) for text in (stdin, "", "")]
        numbers = [stream.number for stream in streams]
        launched = launch(command, files or {}, limits, environment or {}, numbers)
        held.callback(launched.close)
        try:
            code = launched.wait(deadline)
        except CallFailed as failure:
            raise failure.with_stderr(streams[2].tail()) from None
        stderr = streams[2].tail()
        if code < 0 or (accept is not None and code not in accept):
            raise CallFailed("crash", f"it {end_in_words(code, limits.file_size)}", stderr)
        texts = {name: _text(launched.folder, name, limits, stderr) for name in reads}
        return Output(code, streams[1].text(), stderr, texts, launched.cpu_seconds)


def _text(folder: Path, name: str, limits: Limits, stderr: str) -> str:
    """A file that the program left, if it is a plain one of a size that it may have."""
    try:
        number = os.open(folder / name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError as error:
        reason = f"it left no file {name!r} ({error.strerror})"
        raise CallFailed("invalid output", reason, stderr) from None
    found = os.fstat(number)
    if not stat.S_ISREG(found.st_mode) or found.st_size > limits.file_size:
        os.close(number)
        reason = f"{name!r} is not a file of at most {limits.file_size:,} bytes"
        raise CallFailed("invalid output", reason, stderr)
    with os.fdopen(number, "rb") as file:
        return file.read(limits.file_size).decode(errors="replace")
