"""Starts programs through a keeper, which ends all that is left of them."""

from __future__ import annotations

import json
import os
import select
import shutil
import socket
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from nondiff.envs import cpu_time
from nondiff.envs.copying import NeverCopied
from nondiff.envs.errors import InvalidOptionError
from nondiff.envs.process.failures import CallFailed
from nondiff.envs.process.files import Content, write_files
from nondiff.envs.process.spawner import send

END_SECONDS = 10.0  # for a keeper to end what it keeps; more only if the kernel is stuck
ONE_MEBIBYTE = 1 << 20
PREFIX = "nondiff-program-"  # of the folders


@dataclass(frozen=True)
class Limits:
    """What a program may use.

    Args:
        timeout: wall-clock time of a call, or of a start. [s]
        memory: address space of each of its processes. [bytes]
        file_size: of each file that it writes, its output included. [bytes]
        network: whether it may use the network, for a licence server say; else it has none, its
            own loopback included, where namespaces are available.

    Raises:
        InvalidOptionError: a limit that is not above 0.
    """

    timeout: float = 10.0
    memory: int = 2048 * ONE_MEBIBYTE
    file_size: int = 16 * ONE_MEBIBYTE
    network: bool = False

    def __post_init__(self) -> None:
        for name in ("timeout", "memory", "file_size"):
            if not getattr(self, name) > 0:
                raise InvalidOptionError(f"{name} must be above 0, not {getattr(self, name)!r}")


class Launched(NeverCopied):
    """A program that was started; `close` ends it, its tree and its folder.

    Attributes:
        folder: its own, in which it runs.
        cpu_seconds: what it took, known once it has ended by itself.
    """

    instead = "start the program again"

    def __init__(self, control: socket.socket, folder: Path) -> None:
        self._control = control
        self._unread = b""
        self._starter: int | None = None
        self._ends: list[dict[str, Any]] = []  # a message of its end that is still to be acted on
        self._sampled: psutil.Process | None = None
        self.folder = folder
        self.cpu_seconds = 0.0

    def wait(self, deadline: float) -> int:
        """Its exit code, or minus the number of the signal that ended it.

        Raises:
            CallFailed: a start failure; or it has not ended by the deadline on `time.monotonic`.
        """
        message = self._ends.pop() if self._ends else self._message(deadline)
        while "starter" in message:
            message = self._message(deadline)
        if "refused" in message:
            raise CallFailed("start failure", message["refused"])
        if "code" not in message:
            raise CallFailed("crash", message.get("error", "what watched it was killed"))
        self._note(message["cpu_seconds"])
        return int(message["code"])

    def starter(self) -> int | None:
        """The number of the process that the program is a child of, once that is known."""
        if self._starter is None and not self._ends:
            message = self._message(time.monotonic() + END_SECONDS)
            if "starter" not in message:  # it has ended before its keeper could say so
                self._ends.append(message)
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
            while self._control.recv(4096):
                pass
        shutil.rmtree(self.folder, ignore_errors=True)  # where its keeper was killed

    def _note(self, cpu_seconds: float) -> None:
        cpu_time.add(max(0.0, cpu_seconds - self.cpu_seconds))
        self.cpu_seconds = max(cpu_seconds, self.cpu_seconds)

    def _message(self, deadline: float) -> dict[str, Any]:
        while b"\n" not in self._unread:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self._control], [], [], left)[0]:
                raise CallFailed("timeout", "it had not ended in time, and was killed")
            part = self._control.recv(4096)
            if not part:
                raise CallFailed("crash", "what watched it is gone")
            self._unread += part
        line, _, self._unread = self._unread.partition(b"\n")
        message = dict(json.loads(line))
        self._starter = message.get("starter", self._starter)
        return message


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
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    try:
        write_files(folder, files, leaves)
        order = {
            "command": list(command),
            "folder": str(folder),
            "environment": _variables(folder) | dict(environment),
            "memory": limits.memory,
            "file_size": limits.file_size,
            "network": limits.network,
        }
        return Launched(send(order, streams), folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _variables(folder: Path) -> dict[str, str]:
    path = os.environ.get("PATH", os.defpath)
    return {"PATH": path, "LANG": "C.UTF-8", "HOME": str(folder), "TMPDIR": str(folder)}
