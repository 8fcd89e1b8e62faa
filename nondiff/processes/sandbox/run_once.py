"""A program that is started anew for each call."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from nondiff.processes.sandbox.failures import CallFailed, end_in_words
from nondiff.processes.sandbox.launch import Launched, launch
from nondiff.processes.sandbox.limits import Limits
from nondiff.processes.sandbox.program_files import Content
from nondiff.processes.sandbox.scratch import Scratch, decoded


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
    files: Mapping[str, Content] | None = None,
    reads: Sequence[str] = (),
    stdin: str = "",
    limits: Limits | None = None,
    accept: Collection[int] | None = (0,),
    environment: Mapping[str, str] | None = None,
    inspect: Callable[[Sequence[str]], None] | None = None,
    keep: Path | None = None,
) -> Output:
    """Run a program to its end, in a folder of its own that is gone afterwards.

    Args:
        command: the program and its arguments; no shell looks at them.
        files: contents by the names, relative to the folder, under which they are written there.
        reads: names of files, relative to the folder, that it is to leave.
        stdin: what it finds on its input.
        limits: what it may use.
        accept: exit codes that may mean success; None: any. What it wrote is to be checked either
            way: programs exit with 0 on failure, and with 1 on success.
        environment: variables beside PATH, LANG, HOME and TMPDIR.
        inspect: is given what it wrote, to its output, its error output and the files of `reads`,
            before its exit code counts; it may raise `CallFailed`.
        keep: a new folder for a copy of the program's, made when it has ended or failed.

    Raises:
        CallFailed: a start failure, a timeout, a crash, or a file that it did not leave.
    """
    limits = limits or Limits()
    deadline = time.monotonic() + limits.timeout
    with ExitStack() as held:
        streams = [held.enter_context(closing(Scratch(text))) for text in (stdin, "", "")]
        numbers = [stream.number for stream in streams]
        launched = launch(command, files or {}, limits, environment or {}, numbers, reads)
        held.callback(launched.close)
        try:
            code = launched.wait(deadline)
            stdout = streams[1].text()
            texts = {name: _text(launched, name, limits) for name in reads}
            if inspect is not None:
                left = [text for text in texts.values() if isinstance(text, str)]
                inspect([stdout, streams[2].text(), *left])
            if code < 0 or (accept is not None and code not in accept):
                raise CallFailed("crash", f"it {end_in_words(code, limits.file_size)}")
            for text in texts.values():
                if isinstance(text, CallFailed):
                    raise text
        except CallFailed as failure:
            raise failure.with_said(streams[2].tail(), streams[1].tail()) from None
        finally:
            if keep is not None:
                launched.copy_folder(keep)
        found = {name: str(text) for name, text in texts.items()}
        return Output(code, stdout, streams[2].tail(), found, launched.cpu_seconds)


def _text(launched: Launched, name: str, limits: Limits) -> str | CallFailed:
    """A file that the program left, if it is a plain one of a size that it may have."""
    try:
        number = launched.open(name)
    except OSError as error:
        return CallFailed("invalid output", f"it left no file {name!r} ({error.strerror})")
    found = os.fstat(number)
    if not stat.S_ISREG(found.st_mode) or found.st_size > limits.file_size:
        os.close(number)
        return CallFailed(
            "invalid output", f"{name!r} is not a file of at most {limits.file_size:,} bytes"
        )
    with os.fdopen(number, "rb") as file:
        return decoded(file.read(limits.file_size))
