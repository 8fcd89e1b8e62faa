"""A small program that runs simulators for nondiff and sees to it that nothing of them is left.

It is a process of its own (`python -I -S keeper.py FD`), since forking a small one is cheap, and
since it outlives a nondiff that was killed. It imports the standard library only.

The spawner takes orders over a socket. For each it forks a *keeper*, which forks a *starter*, which
forks the simulator; where the system allows it the starter is the first process of a PID namespace,
so that the kernel ends whatever the simulator started when the starter ends. Elsewhere the keeper,
as a subreaper, remains an ancestor of all that, however detached, and kills it. Each keeper ends,
and removes the simulator's folder, when its control socket closes, however that came about.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import resource
import select
import shutil
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator
from typing import Any, NoReturn

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 36, 38  # linux/prctl.h
CLONE_NEWIPC, CLONE_NEWUSER = 0x08000000, 0x10000000  # linux/sched.h
CLONE_NEWPID, CLONE_NEWNET = 0x20000000, 0x40000000
LINUX = sys.platform == "linux"
LEVELS = ("namespaces", "supervised", "process group")
GUARDED = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGINT, signal.SIGTERM)
HEADER = struct.Struct("!I")
LOOK_SECONDS = 1.0  # between looks at whether a starter was killed


def main(descriptor: int) -> None:
    """Fork a keeper for each order, until nobody can send one any more."""
    if os.fork():
        os._exit(0)  # the spawner is nobody's child, so that whoever kills a process tree misses it
    os.setsid()  # Ctrl-C is for nondiff to act on
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    libc = ctypes.CDLL(None, use_errno=True)
    server = socket.socket(fileno=descriptor)
    level = _isolation(libc)
    no_network = _network_without_links(libc) if level == "namespaces" else None
    server.sendall(level.encode() + b"\n")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # keepers are reaped by the kernel
    gc.disable()
    gc.freeze()  # forks share what is never written to
    while order := _order(server):
        request, files = order
        if os.fork() == 0:
            server.close()
            _keep(libc, no_network, request, files)
        for number in files:
            os.close(number)


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


def _isolation(libc: Any) -> str:
    """The best of the levels that this system allows, found by trying."""
    if not LINUX:
        return "process group"
    for is_prepared in (False, True):
        child = os.fork()
        if child == 0:
            _try_namespaces(libc, is_prepared)
        if os.waitpid(child, 0)[1] == 0:
            if is_prepared:
                _own_users(libc)
            return "namespaces"
    return "supervised"


def _try_namespaces(libc: Any, is_prepared: bool) -> NoReturn:
    """Exit with 0 if a process can be started in namespaces of its own."""
    with contextlib.suppress(BaseException):
        if is_prepared:
            _own_users(libc)
        if libc.unshare(CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC) == 0:
            first = os.fork()
            if first == 0:
                os._exit(0)
            os._exit(os.waitpid(first, 0)[1])
    os._exit(1)


def _own_users(libc: Any) -> None:
    """Enter a namespace with this user alone, in which other namespaces are allowed."""
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(CLONE_NEWUSER) != 0:
        raise PermissionError
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{user} {user} 1")
    _write("/proc/self/gid_map", f"{group} {group} 1")


def _network_without_links(libc: Any) -> int:
    """A descriptor of a network namespace in which nothing can be reached.

    All programs share it, for the kernel takes long to make one and to take it down.
    """
    ready, holding = os.pipe()
    child = os.fork()
    if child == 0:
        libc.unshare(CLONE_NEWNET)
        os.write(holding, b"1")
        signal.pause()
    os.read(ready, 1)
    network = os.open(f"/proc/{child}/ns/net", os.O_RDONLY)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(ready)
    os.close(holding)
    return network


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:  # noqa: PTH123 - pathlib takes as long to load as all the rest
        file.write(text)


def _keep(libc: Any, no_network: int | None, request: dict[str, Any], files: list[int]) -> NoReturn:
    """Start a simulator, and end it and what it started once it or its user is done."""
    control, *_ = files
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        if LINUX:
            libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        if no_network is not None:  # as where namespaces are allowed
            if not request["network"] and libc.setns(no_network, CLONE_NEWNET) != 0:
                raise PermissionError("setns")
            libc.unshare(CLONE_NEWPID | CLONE_NEWIPC)
        starter = os.fork()
        with contextlib.suppress(OSError):
            os.setpgid(starter, starter)  # in both of them, for either may be first
        if starter == 0:
            _start(libc, request, files)
        for number in files[1:]:
            os.close(number)
        _tell(control, {"starter": starter})
        _end_all(starter if _wait_for_end(control, starter) else None)
    except BaseException as error:
        _tell(control, {"error": f"{type(error).__name__}: {error}"})
    shutil.rmtree(request["folder"], ignore_errors=True)
    os._exit(0)


def _wait_for_end(control: int, starter: int) -> bool:
    """Return when the user has closed the control socket; whether the starter is left."""
    is_running = True
    while True:
        if select.select([control], [], [], LOOK_SECONDS if is_running else None)[0]:
            with contextlib.suppress(OSError):
                if os.read(control, 4096):
                    continue
            return is_running
        if os.waitpid(starter, os.WNOHANG)[0]:
            is_running = False
            _tell(control, {"lost": True})  # unless it has reported an end before


def _start(libc: Any, request: dict[str, Any], files: list[int]) -> NoReturn:
    """Run the simulator and report how it ended; the first process of the namespace, if any."""
    control, *streams = files
    if LINUX:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    broken, working = os.pipe()
    simulator = os.fork()
    if simulator == 0:
        _become(libc, request, streams, working)
    for number in (working, *streams):
        os.close(number)
    if trouble := os.read(broken, 4096):
        _tell(control, {"refused": trouble.decode()})
        os._exit(0)
    while True:  # what the simulator has left behind ends up here, and is reaped
        ended, status, usage = os.wait4(-1, 0)
        if ended == simulator:
            break
    code = os.waitstatus_to_exitcode(status)
    _tell(control, {"code": code, "cpu_seconds": usage.ru_utime + usage.ru_stime})
    os._exit(0)


def _become(libc: Any, request: dict[str, Any], streams: list[int], working: int) -> NoReturn:
    """Turn into the simulator; what prevents it is written to `working`."""
    try:
        if LINUX:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            os.setpgid(0, 0)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        for number in GUARDED:
            signal.signal(number, signal.SIG_DFL)
        os.chdir(request["folder"])
        for kind, limit in (
            (resource.RLIMIT_AS, request["memory"]),
            (resource.RLIMIT_FSIZE, request["file_size"]),
            (resource.RLIMIT_CORE, 0),
        ):
            _lower(kind, limit)
        os.execvpe(request["command"][0], request["command"], request["environment"])  # noqa: S606
    except BaseException as error:
        reason = error.strerror if isinstance(error, OSError) else None
        os.write(working, (reason or repr(error)).encode()[:4000])
    os._exit(127)


def _lower(kind: int, limit: int) -> None:
    hard = resource.getrlimit(kind)[1]
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    with contextlib.suppress(ValueError, OSError):  # macOS refuses to limit memory
        resource.setrlimit(kind, (limit, limit))


def _tell(control: int, message: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        os.write(control, json.dumps(message).encode() + b"\n")


def _end_all(starter: int | None) -> None:
    """Kill all that descends from this process, and wait until it is gone."""
    if starter is not None:
        with contextlib.suppress(OSError):
            os.killpg(starter, signal.SIGKILL)  # it takes its namespace with it
        os.waitpid(starter, 0)
    pause = 0.0
    while _reap():
        for descendant in _descendants(os.getpid()):
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


def _descendants(root: int) -> list[int]:
    """All processes below one, nearest first; none elsewhere than on Linux, which can't tell."""
    if not LINUX:
        return []
    children: dict[int, list[int]] = {}
    for process, parent in _processes():
        children.setdefault(parent, []).append(process)
    found = [*children.get(root, [])]
    for process in found:  # which grows as it goes
        found += children.get(process, [])
    return found


def _processes() -> Iterator[tuple[int, int]]:
    """Number and parent of each process of this system."""
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                after_name = file.read().rpartition(b")")[2].split()
                yield int(name), int(after_name[1])


if __name__ == "__main__":
    main(int(sys.argv[1]))
