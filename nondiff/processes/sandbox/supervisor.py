"""Runs simulators for nondiff, and sees to it that nothing of them is left.

It is a process of its own, since forking a small one is cheap, and since it outlives a nondiff that
was killed. It and what it imports need the standard library only; `spawner` starts it.

The spawner takes orders over a socket. For each it forks a *keeper*, which forks a *starter* (see
`starter`), which forks the simulator; where the system allows it the starter is the first process
of a PID namespace, so that the kernel ends whatever the simulator started when the starter ends.
Elsewhere the keeper, as a subreaper, remains an ancestor of all that, however detached, and kills
it. Each keeper ends, and removes the simulator's folder, when its control socket closes, however
that came about.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import struct
import time
from typing import Any, NoReturn

from nondiff.processes.sandbox.containment.init import start, tell
from nondiff.processes.sandbox.containment.kernel import LINUX, PR_SET_CHILD_SUBREAPER, prctl
from nondiff.processes.sandbox.containment.levels import Containment, reach_level
from nondiff.processes.sandbox.containment.totals import Watch
from nondiff.processes.sandbox.descendants import descendants
from nondiff.processes.sandbox.trees import remove_tree

HEADER = struct.Struct("!I")


def main(descriptor: int, best: str, place: str, *secrets: str) -> None:
    """Fork a keeper for each order, until nobody can send one any more.

    Args:
        descriptor: of a socket on which orders come.
        best: the level of containment that is tried first.
        place: for temporary files.
        secrets: paths whose content is hidden.
    """
    if os.fork():
        os._exit(0)  # the spawner is nobody's child, so that whoever kills a process tree misses it
    os.setsid()  # Ctrl-C is for nondiff to act on
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    _close_inherited(descriptor)
    server = socket.socket(fileno=descriptor)
    containment = reach_level(best, place, secrets)
    server.sendall(json.dumps([containment.level, containment.guards_files]).encode() + b"\n")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # keepers are reaped by the kernel
    gc.disable()
    gc.freeze()  # forks share what is never written to
    while order := _order(server):
        request, files = order
        if os.fork() == 0:
            server.close()
            _keep(containment, request, files)
        for number in files:
            os.close(number)


def _close_inherited(last: int) -> None:
    """Close what nondiff's own parents left open, which would be a program's way to it."""
    for name in os.listdir("/dev/fd"):
        if int(name) > last:
            with contextlib.suppress(OSError):  # the one that lists them is closed by now
                os.close(int(name))


def _order(server: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """What is to be run, and its control socket, input, output and error output."""
    header, files, _, _ = socket.recv_fds(server, HEADER.size, 4, socket.MSG_WAITALL)
    if len(header) < HEADER.size:
        return None
    body = bytearray()
    while left := HEADER.unpack(header)[0] - len(body):
        part = server.recv(left)  # and no more, for the next order may be there
        if not part:
            return None
        body += part
    for number in files:
        os.set_inheritable(number, False)
    return json.loads(body), files


def _keep(containment: Containment, request: dict[str, Any], files: list[int]) -> NoReturn:
    """Start a simulator, and end it and what it started once it or its user is done."""
    control, *_ = files
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        if LINUX:
            prctl(PR_SET_CHILD_SUBREAPER, 1)
        containment.prepare(has_network=request["network"])
        watch = Watch(request, containment.level)
        _holding, view = socket.socketpair()  # what is sent there stays until this process ends
        starter = os.fork()
        with contextlib.suppress(OSError):
            os.setpgid(starter, starter)  # in both of them, for either may be first
        if starter == 0:
            start(containment, request, files, view, watch)
        for number in (view.detach(), *files[1:]):
            os.close(number)
        tell(control, {"starter": starter})
        watch.starter = starter
        _end_all(starter if _wait_for_end(control, starter, watch) else None)
    except BaseException as error:
        tell(control, {"error": f"{type(error).__name__}: {error}"})
    remove_tree(request["folder"])
    os.close(control)  # nobody has to wait for what the kernel still takes down
    os._exit(0)


def _wait_for_end(control: int, starter: int, watch: Watch) -> bool:
    """Return when the user is done, or the program has used too much; whether a starter is left."""
    is_running = True
    while True:
        if select.select([control], [], [], watch.pause if is_running else None)[0]:
            with contextlib.suppress(OSError):
                if os.read(control, 4096):
                    continue
            return is_running
        if os.waitpid(starter, os.WNOHANG)[0]:
            is_running = False
            tell(control, {"lost": True})  # unless it has reported an end before
        elif is_running and (reason := watch.excess()):
            tell(control, {"exceeded": reason})
            return True


def _end_all(starter: int | None) -> None:
    """Kill all that descends from this process, and wait until it is gone."""
    if starter is not None:
        with contextlib.suppress(OSError):
            os.killpg(starter, signal.SIGKILL)  # it takes its namespace with it
        os.waitpid(starter, 0)
    pause = 0.0
    while _reap():
        for descendant in descendants(os.getpid()):
            with contextlib.suppress(OSError):
                os.kill(descendant, signal.SIGKILL)
        time.sleep(pause)
        pause = min(pause + 2e-4, 0.05)


def _reap() -> bool:
    """Take the exit codes of children that have ended; whether any is left."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return True
    return False
