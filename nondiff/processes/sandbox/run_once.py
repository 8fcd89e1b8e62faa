"""Run a program to its end, once per call."""

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
    """The result of a program.

    Args:
        code: exit code.
        stdout: standard output.
        stderr: standard error.
        files: contents of the requested output files, by name.
        cpu_seconds: CPU time, including its waited-for children [s].
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
    """Run a program to its end, in a private folder that is removed afterwards.

    Args:
        command: the program and its arguments; no shell interprets them.
        files: contents of its input files, by name relative to the folder.
        reads: names of its output files, relative to the folder.
        stdin: text of its standard input.
        limits: resource limits.
        accept: exit codes that may mean success; None: any. Check the output in any case: programs
            exit with 0 on failure, and with 1 on success.
        environment: variables in addition to PATH, LANG, HOME and TMPDIR.
        inspect: called with its standard output, standard error and the files of `reads`, before
            the exit code is checked; it may raise `CallFailed`.
        keep: new folder for a copy of the program's folder, made after the program has ended.

    Raises:
        CallFailed: a start failure, a timeout, a crash, or a missing output file.
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
    """Read an output file; a failure if it is missing, not regular or too large."""
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
