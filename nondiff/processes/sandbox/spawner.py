"""The client of the spawner, the process that starts programs and outlives this one to end them."""

from __future__ import annotations

import atexit
import json
import os
import socket
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from nondiff.errors import MissingDependencyError
from nondiff.processes.sandbox.containment.secret_paths import secret_paths
from nondiff.processes.sandbox.supervisor import HEADER

Isolation = Literal["sandbox", "namespaces", "supervised", "process group"]
SOURCES = Path(__file__).parents[3]  # the folder from which the spawner imports nondiff
BOOT = """
import sys, types
for end in ("", ".processes", ".processes.sandbox", ".processes.sandbox.containment"):
    name = "nondiff" + end  # an empty package, so that its __init__ is not run
    module = sys.modules[name] = types.ModuleType(name)
    module.__path__ = [sys.argv[1] + "/" + name.replace(".", "/")]
from nondiff.processes.sandbox.supervisor import main
main(int(sys.argv[2]), *sys.argv[3:])
"""
START_SECONDS = 60.0  # [s] for the spawner to start, on a busy machine
PYTHON_NEEDS = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME")  # to start, on some systems


def send(order: dict[str, Any], streams: Sequence[int]) -> socket.socket:
    """Start a program; returns the control socket of its supervisor.

    Args:
        order: command, folder, environment and limits, as `launch` makes it.
        streams: descriptors of its standard input, output and error.
    """
    return _spawner.send(order, streams)


def isolation() -> Isolation:
    """The level of containment that this system supports.

    "sandbox": each call has its own view of files, processes, network and shared memory, and the
    kernel ends all its processes together. "namespaces": the same, except for files. "supervised":
    the supervisor kills the processes one by one, however they detach themselves. "process group"
    (not on Linux): processes that leave their group can escape.
    """
    return _spawner.level()


def guards_files() -> bool:
    """Whether programs can change files only in folders for temporary files."""
    return _spawner.guards_files()


class Spawner:
    """The client of the spawner process, which it starts on demand, and again if it was killed.

    Args:
        best: the level of containment to try first.
    """

    def __init__(self, best: Isolation = "sandbox") -> None:
        self._best = best
        self._guards_files = False
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._level: Isolation = "process group"

    def send(self, order: dict[str, Any], streams: Sequence[int]) -> socket.socket:
        """Start a program; returns the control socket of its supervisor."""
        ours, theirs = socket.socketpair()
        body = json.dumps(order).encode()
        try:
            with theirs, self._lock:
                for attempt in (1, 2):
                    try:
                        server = self._started()
                        numbers = [theirs.fileno(), *streams]
                        socket.send_fds(server, [HEADER.pack(len(body))], numbers)
                        server.sendall(body)
                        break
                    except OSError:
                        self.forget()
                        if attempt == 2:
                            raise
        except BaseException:
            ours.close()
            raise
        return ours

    def level(self) -> Isolation:
        """The level of containment that the spawner reached."""
        with self._lock:
            self._started()
            return self._level

    def guards_files(self) -> bool:
        """Whether that level keeps programs from changing files."""
        with self._lock:
            self._started()
            return self._guards_files

    def _started(self) -> socket.socket:
        if self._socket is None:
            ours, theirs = socket.socketpair()
            with theirs:
                _spawn(theirs.fileno(), self._best)
            ours.settimeout(START_SECONDS)
            with ours.makefile("r") as lines:
                answer = lines.readline()
            ours.settimeout(None)
            if not answer:
                ours.close()
                raise MissingDependencyError(
                    f"{sys.executable} can't run {SOURCES}/nondiff/processes/sandbox/supervisor.py"
                    ", which runs programs"
                )
            self._socket = ours
            self._level, self._guards_files = json.loads(answer)
        return self._socket

    def forget(self) -> None:
        """Close the connection; the spawner ends once its last connection is closed."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _spawn(descriptor: int, best: Isolation) -> None:
    """Start the spawner, which detaches itself at once."""
    null, first_free = os.devnull, 3
    actions: list[Any] = [(os.POSIX_SPAWN_OPEN, n, null, os.O_RDWR, 0) for n in range(first_free)]
    inherited = os.dup(descriptor) if descriptor == first_free else descriptor
    actions.append((os.POSIX_SPAWN_DUP2, inherited, first_free))
    command = [sys.executable, "-I", "-S", "-c", BOOT, str(SOURCES), str(first_free), best]
    command += [tempfile.gettempdir(), *secret_paths()]
    try:
        kept = {name: os.environ[name] for name in PYTHON_NEEDS if name in os.environ}
        child = os.posix_spawn(sys.executable, command, kept, file_actions=actions)
        os.waitpid(child, 0)
    finally:
        if inherited != descriptor:
            os.close(inherited)


_spawner = Spawner()
atexit.register(_spawner.forget)


def _forget_after_fork() -> None:
    global _spawner
    inherited, _spawner = _spawner, Spawner(_spawner._best)
    inherited.forget()


os.register_at_fork(after_in_child=_forget_after_fork)
