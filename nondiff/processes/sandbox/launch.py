"""Starts programs through a keeper, which ends all that is left of them."""

from __future__ import annotations

import errno
import json
import os
import select
import socket
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psutil

from nondiff.gym.copying import NeverCopied
from nondiff.processes import cpu_time
from nondiff.processes.sandbox.failures import CallFailed
from nondiff.processes.sandbox.limits import Limits
from nondiff.processes.sandbox.program_files import Content, write_files
from nondiff.processes.sandbox.spawner import isolation, send
from nondiff.processes.sandbox.trees import OPEN_FOLDER, copy_tree, remove_tree

END_SECONDS = 10.0  # for a keeper to end what it keeps; more only if the kernel is stuck
PREFIX = "nondiff-program-"  # of the folders


class Launched(NeverCopied):
    """A program that was started; `close` ends it, its tree and its folder.

    Attributes:
        folder: its own, in which it runs, and sees what others may not see.
        cpu_seconds: what it took, known once it has ended by itself.
        is_beyond_limits: whether it was ended for that.
    """

    instead = "start the program again"

    def __init__(self, control: socket.socket, folder: Path) -> None:
        self._control = control
        self._unread = b""
        self._starter: int | None = None
        self._ends: list[dict[str, Any]] = []  # a message of its end that is still to be acted on
        self._sampled: psutil.Process | None = None
        self._inside: int | None = None
        self.folder = folder
        self.cpu_seconds = 0.0
        self.is_beyond_limits = False

    def wait(self, deadline: float) -> int:
        """Its exit code, or minus the number of the signal that ended it.

        Raises:
            CallFailed: a start failure; or it has not ended by the deadline on `time.monotonic`.
        """
        message = self._ends.pop() if self._ends else self._message(deadline)
        while "starter" in message or "folder" in message:
            message = self._message(deadline)
        if "refused" in message:
            raise CallFailed("start failure", message["refused"])
        if "exceeded" in message:
            self.is_beyond_limits = True
            raise CallFailed("crash", message["exceeded"])
        if "code" not in message:
            raise CallFailed("crash", message.get("error", "what watched it was killed"))
        self._note(message["cpu_seconds"])
        return int(message["code"])

    def open(self, name: str) -> int:
        """A descriptor of a file in its folder, to be read; no link is followed on the way there.

        Raises:
            OSError: there is none, or something on the way there is no folder.
        """
        if self._inside is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        *folders, last = name.split("/")
        with ExitStack() as held:
            inside = self._inside
            for folder in folders:
                inside = os.open(folder, OPEN_FOLDER, dir_fd=inside)
                held.callback(os.close, inside)
            return os.open(last, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW, dir_fd=inside)

    def copy_folder(self, to: Path) -> None:
        """Copy its folder's files to a new folder; links and special files are left out."""
        if self._inside is not None:
            copy_tree(self._inside, to)

    def starter(self) -> int | None:
        """The number of the process that the program is a child of, once that is known."""
        while self._starter is None and not self._ends:
            message = self._message(time.monotonic() + END_SECONDS)
            if "starter" not in message and "folder" not in message:
                self._ends.append(message)  # it has ended before its keeper could say so
        return self._starter

    def sample_cpu(self) -> None:
        """Note the CPU time that it has taken so far, while it runs."""
        with suppress(psutil.Error, CallFailed):
            starter = self.starter()
            if self._sampled is None and starter is not None:
                below = psutil.Process(starter).children()
                self._sampled = below[0] if below else None
            if self._sampled is not None:
                times = self._sampled.cpu_times()
                self._note(times.user + times.system)

    def close(self) -> None:
        """End it and whatever it started, wait until that is gone, and remove its folder."""
        if self._control.fileno() < 0:
            return
        with self._control, suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)
            self._control.settimeout(END_SECONDS)
            while self._receive():
                pass
        if self._inside is not None:
            os.close(self._inside)
            self._inside = None
        remove_tree(self.folder)  # where its keeper was killed

    def _note(self, cpu_seconds: float) -> None:
        cpu_time.add(max(0.0, cpu_seconds - self.cpu_seconds))
        self.cpu_seconds = max(cpu_seconds, self.cpu_seconds)

    def _message(self, deadline: float) -> dict[str, Any]:
        while b"\n" not in self._unread:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self._control], [], [], left)[0]:
                raise CallFailed("timeout", "it had not ended in time, and was killed")
            part = self._receive()
            if not part:
                raise CallFailed("crash", "what watched it is gone")
            self._unread += part
        line, _, self._unread = self._unread.partition(b"\n")
        message = dict(json.loads(line))
        self._starter = message.get("starter", self._starter)
        return message

    def _receive(self) -> bytes:
        part, numbers, _, _ = socket.recv_fds(self._control, 4096, 1)
        for number in numbers:
            self._inside = number
        return part


def launch(
    command: Sequence[str],
    files: Mapping[str, Content],
    limits: Limits,
    environment: Mapping[str, str],
    streams: Sequence[int],
    leaves: Sequence[str] = (),
) -> Launched:
    """Start a program in a new folder of its own.

    Args:
        command: the program and its arguments; no shell looks at them.
        files: contents by the names, relative to the folder, under which they are written there.
        limits: what it may use.
        environment: variables beside PATH, LANG, HOME and TMPDIR.
        streams: descriptors of its input, output and error output.
        leaves: names of files that it is to write, relative to the folder.
    """
    isolation()  # so that a supervisor is there that removes the folder if this process is killed
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    try:
        write_files(folder, files, leaves)
        order = {
            "command": list(command),
            "folder": str(folder),
            "environment": _variables(folder) | dict(environment),
        } | limits.as_order()
        return Launched(send(order, streams), folder)
    except BaseException:
        remove_tree(folder)
        raise


def _variables(folder: Path) -> dict[str, str]:
    path = os.environ.get("PATH", os.defpath)
    return {"PATH": path, "LANG": "C.UTF-8", "HOME": str(folder), "TMPDIR": str(folder)}
