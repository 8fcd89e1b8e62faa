"""Start programs, each under a supervisor that ends all of its processes."""

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

END_SECONDS = 10.0  # [s] for a supervisor to end its program; exceeded only if the kernel hangs
PREFIX = "nondiff-program-"  # of the programs' folders


class Launched(NeverCopied):
    """A started program; `close` ends it and its descendants, and removes its folder.

    Attributes:
        folder: its working folder; its content may be visible to the program alone.
        cpu_seconds: its CPU time, known once it has ended by itself [s].
        is_beyond_limits: whether the supervisor ended it for exceeding a limit.
    """

    instead = "start the program again"

    def __init__(self, control: socket.socket, folder: Path) -> None:
        self._control = control
        self._unread = b""
        self._init_pid: int | None = None
        self._ends: list[
            dict[str, Any]
        ] = []  # a message of its end that `wait` has not handled yet
        self._sampled: psutil.Process | None = None
        self._inside: int | None = None
        self.folder = folder
        self.cpu_seconds = 0.0
        self.is_beyond_limits = False

    def wait(self, deadline: float) -> int:
        """Wait for the end; returns the exit code, or minus the number of the fatal signal.

        Raises:
            CallFailed: a start failure, an exceeded limit, or it has not ended by the deadline (of
                `time.monotonic`).
        """
        message = self._ends.pop() if self._ends else self._message(deadline)
        while "init" in message or "folder" in message:
            message = self._message(deadline)
        if "refused" in message:
            raise CallFailed("start failure", message["refused"])
        if "exceeded" in message:
            self.is_beyond_limits = True
            raise CallFailed("crash", message["exceeded"])
        if "code" not in message:
            raise CallFailed("crash", message.get("error", "its supervisor was killed"))
        self._note(message["cpu_seconds"])
        return int(message["code"])

    def open(self, name: str) -> int:
        """Open a file of its folder for reading, following no links; returns the descriptor.

        Raises:
            OSError: there is no such file, or a part of its path is not a folder.
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
        """Copy its folder to a new folder, without links and special files."""
        if self._inside is not None:
            copy_tree(self._inside, to)

    def init_pid(self) -> int | None:
        """The PID of the init process, the program's parent; None: it has ended."""
        while self._init_pid is None and not self._ends:
            message = self._message(time.monotonic() + END_SECONDS)
            if "init" not in message and "folder" not in message:
                self._ends.append(message)  # init ended before its supervisor reported it
        return self._init_pid

    def sample_cpu(self) -> None:
        """Count the CPU time of the running program so far."""
        with suppress(psutil.Error, CallFailed):
            init = self.init_pid()
            if self._sampled is None and init is not None:
                below = psutil.Process(init).children()
                self._sampled = below[0] if below else None
            if self._sampled is not None:
                times = self._sampled.cpu_times()
                self._note(times.user + times.system)

    def close(self) -> None:
        """End it and its descendants, wait until they are gone, and remove its folder."""
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
        remove_tree(self.folder)  # in case its supervisor was killed

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
                raise CallFailed("crash", "its supervisor is gone")
            self._unread += part
        line, _, self._unread = self._unread.partition(b"\n")
        message = dict(json.loads(line))
        self._init_pid = message.get("init", self._init_pid)
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
    """Start a program in a new private folder.

    Args:
        command: the program and its arguments; no shell interprets them.
        files: contents of its input files, by name relative to the folder.
        limits: resource limits.
        environment: variables in addition to PATH, LANG, HOME and TMPDIR.
        streams: descriptors of its standard input, output and error.
        leaves: names of its output files, relative to the folder.
    """
    isolation()  # starts the spawner, whose supervisor removes the folder if this process is killed
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
