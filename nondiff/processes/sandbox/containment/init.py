"""The init process: parent of a program, which it isolates and whose end it reports."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
from typing import Any, NoReturn

from nondiff.processes.sandbox.containment import kernel
from nondiff.processes.sandbox.containment.kernel import LINUX, prctl
from nondiff.processes.sandbox.containment.levels import Containment
from nondiff.processes.sandbox.containment.totals import Watch, too_many

GUARDED = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGINT, signal.SIGTERM)
RESERVED, MARGIN, MAX_NUMBER = 300, 64, 1 << 22  # PIDs


def start(
    containment: Containment,
    request: dict[str, Any],
    files: list[int],
    view: socket.socket,
    watch: Watch,
) -> NoReturn:
    """Run the init process: start the program, and report how it ended.

    It is the first process of the PID namespace, if there is one.

    Args:
        containment: the isolation of the program.
        request: the order: the command and its limits.
        files: descriptors of the control socket and of the program's standard streams.
        view: socket that keeps the mount namespace alive until after this process has ended.
        watch: measures the program's total use.
    """
    control, *streams = files
    if LINUX:
        prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
        if containment.level == "supervised":  # at other levels its capabilities protect it
            prctl(kernel.PR_SET_DUMPABLE, 0)  # the program can't trace this process
    _bound_processes(containment, request)
    _enter_folder(containment, request, control, view)
    broken, working = os.pipe()
    program = os.fork()
    if program == 0:
        _become(containment, request, streams, working)
    for number in (working, *streams):
        os.close(number)
    if trouble := os.read(broken, 4096):
        tell(control, {"refused": trouble.decode()})
        os._exit(0)
    while True:  # reaps the program's orphans, too
        ended, status, usage = os.wait4(-1, 0)
        if ended == program:
            break
    if reason := _last_excess(containment.level, request, watch):
        tell(control, {"exceeded": reason})
    code = os.waitstatus_to_exitcode(status)
    tell(control, {"code": code, "cpu_seconds": usage.ru_utime + usage.ru_stime})
    os._exit(0)


def _last_excess(level: str, request: dict[str, Any], watch: Watch) -> str | None:
    """Describe the limit that a program exceeded before the supervisor measured it."""
    if level == "sandbox":
        return watch.last_excess()
    if level != "namespaces" or os.getpid() != 1:
        return watch.wrote_too_much()
    left = 0
    with contextlib.suppress(OSError):  # PID 1 adopts all orphans of its namespace
        os.kill(-1, signal.SIGKILL)
        while os.wait():
            left += 1
    return too_many(request) if left > request["processes"] else watch.wrote_too_much()


def _bound_processes(containment: Containment, request: dict[str, Any]) -> None:
    """Let the kernel bound the number of processes between two measurements.

    From Linux 6.14 on, each namespace has its own maximum PID; PIDs below `RESERVED` are not
    reused. RLIMIT_NPROC counts the processes of a user, over all calls, but not of root.
    """
    processes = request["processes"] + MARGIN
    if containment.no_network is not None:
        with contextlib.suppress(OSError), open("/proc/sys/kernel/pid_max", "w") as file:
            file.write(str(min(RESERVED + processes, MAX_NUMBER)))
    if LINUX:
        _lower(resource.RLIMIT_NPROC, processes * (len(os.sched_getaffinity(0)) + 2))


def _enter_folder(
    containment: Containment, request: dict[str, Any], control: int, view: socket.socket
) -> None:
    try:
        containment.enter_view(request)
        os.chdir(request["folder"])
    except OSError as error:
        tell(control, {"refused": f"its folder can't be set up: {error}"})
        os._exit(0)
    if containment.level == "sandbox":
        mounts = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        socket.send_fds(view, [b"."], [mounts])
        os.close(mounts)
    _hand_over_folder(control)


def _hand_over_folder(control: int) -> None:
    """Send the client a descriptor of the folder as this namespace sees it."""
    folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(control)) as connection:
        socket.send_fds(connection, [json.dumps({"folder": True}).encode() + b"\n"], [folder])
    os.close(folder)


def _become(
    containment: Containment, request: dict[str, Any], streams: list[int], working: int
) -> NoReturn:
    """Execute the program in this process; a failure to do so is written to `working`."""
    try:
        if LINUX:
            prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
            os.setpgid(0, 0)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        for number in GUARDED:
            signal.signal(number, signal.SIG_DFL)
        for kind, limit in (
            (resource.RLIMIT_AS, request["memory"]),
            (resource.RLIMIT_FSIZE, request["file_size"]),
            (resource.RLIMIT_CORE, 0),
        ):
            _lower(kind, limit)
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, containment.niceness)
        containment.confine(request)
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


def tell(control: int, message: dict[str, Any]) -> None:
    """Send a message to the client, unless it is gone."""
    with contextlib.suppress(OSError):
        os.write(control, json.dumps(message).encode() + b"\n")
