"""The spawner process, and the supervisors that it forks and that clean up after programs.

The spawner is a separate process: forking a small process is cheap, and it outlives a client that
was killed. It imports the standard library only; `spawner.py` starts it.

The spawner receives orders over a socket. For each order it forks a *supervisor*, which forks an
*init* process (`containment/init.py`), which forks the program. Where the system allows it, init is
the first process of a PID namespace, so that the kernel ends all descendants of the program when
init ends. Elsewhere the supervisor is a subreaper: it remains an ancestor of all descendants,
however detached, and kills them. A supervisor ends, and removes the program's folder, when its
control socket closes, for whatever reason.
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
    """Run the spawner: fork a supervisor for each order, until the last client is gone.

    Args:
        descriptor: descriptor of the socket that receives orders.
        best: the level of containment to try first.
        place: folder for temporary files.
        secrets: paths whose content is hidden from programs.
    """
    if os.fork():
        os._exit(0)  # orphan the spawner, so that killing the client's process tree spares it
    os.setsid()  # leaves Ctrl-C to the client
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    _close_inherited(descriptor)
    server = socket.socket(fileno=descriptor)
    containment = reach_level(best, place, secrets)
    server.sendall(json.dumps([containment.level, containment.guards_files]).encode() + b"\n")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps supervisors
    gc.disable()
    gc.freeze()  # keeps memory pages shared between forks
    while order := _order(server):
        request, files = order
        if os.fork() == 0:
            server.close()
            _supervise(containment, request, files)
        for number in files:
            os.close(number)


def _close_inherited(last: int) -> None:
    """Close descriptors that the client's parents left open, which a program must not inherit."""
    for name in os.listdir("/dev/fd"):
        if int(name) > last:
            with contextlib.suppress(
                OSError
            ):  # the descriptor of the listing itself is closed by now
                os.close(int(name))


def _order(server: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Receive an order; returns it with the control socket and the standard streams."""
    header, files, _, _ = socket.recv_fds(server, HEADER.size, 4, socket.MSG_WAITALL)
    if len(header) < HEADER.size:
        return None
    body = bytearray()
    while left := HEADER.unpack(header)[0] - len(body):
        part = server.recv(left)  # no more than that: the next order may follow
        if not part:
            return None
        body += part
    for number in files:
        os.set_inheritable(number, False)
    return json.loads(body), files


def _supervise(containment: Containment, request: dict[str, Any], files: list[int]) -> NoReturn:
    """Run a supervisor: start a program, and end all its processes when the client is done."""
    control, *_ = files
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        if LINUX:
            prctl(PR_SET_CHILD_SUBREAPER, 1)
        containment.prepare(has_network=request["network"])
        watch = Watch(request, containment.level)
        _holding, view = (
            socket.socketpair()
        )  # keeps what is sent to it open until this process ends
        init = os.fork()
        with contextlib.suppress(OSError):
            os.setpgid(init, init)  # in both processes, since either may run first
        if init == 0:
            start(containment, request, files, view, watch)
        for number in (view.detach(), *files[1:]):
            os.close(number)
        tell(control, {"init": init})
        watch.init = init
        _end_all(init if _wait_for_end(control, init, watch) else None)
    except BaseException as error:
        tell(control, {"error": f"{type(error).__name__}: {error}"})
    remove_tree(request["folder"])
    os.close(control)  # the client need not wait for the kernel's cleanup
    os._exit(0)


def _wait_for_end(control: int, init: int, watch: Watch) -> bool:
    """Wait until the client is done or a limit is exceeded; returns whether init is running."""
    is_running = True
    while True:
        if select.select([control], [], [], watch.pause if is_running else None)[0]:
            with contextlib.suppress(OSError):
                if os.read(control, 4096):
                    continue
            return is_running
        if os.waitpid(init, os.WNOHANG)[0]:
            is_running = False
            tell(control, {"lost": True})  # ignored if init has reported the end before
        elif is_running and (reason := watch.excess()):
            tell(control, {"exceeded": reason})
            return True


def _end_all(init: int | None) -> None:
    """Kill all descendants of this process, and wait until they are gone."""
    if init is not None:
        with contextlib.suppress(OSError):
            os.killpg(init, signal.SIGKILL)  # and with it all of its namespace
        os.waitpid(init, 0)
    pause = 0.0
    while _reap():
        for descendant in descendants(os.getpid()):
            with contextlib.suppress(OSError):
                os.kill(descendant, signal.SIGKILL)
        time.sleep(pause)
        pause = min(pause + 2e-4, 0.05)


def _reap() -> bool:
    """Reap children that have ended; returns whether any child is left."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return True
    return False
