"""The process that a simulator is a child of, which contains it and reports how it ended."""

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
RESERVED, MARGIN, MAX_NUMBER = 300, 64, 1 << 22  # of processes


def start(
    containment: Containment,
    request: dict[str, Any],
    files: list[int],
    view: socket.socket,
    watch: Watch,
) -> NoReturn:
    """Run the simulator and report how it ended; the first process of the namespace, if any.

    Args:
        containment: what the simulator is put into.
        request: what is to be run, and its limits.
        files: descriptors of the control socket, and of the simulator's input and outputs.
        view: to which the mount namespace is sent, so that it is taken down later than this ends.
        watch: of the limits of all that the simulator does together.
    """
    control, *streams = files
    if LINUX:
        prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
        if containment.level == "supervised":  # at others it has rights that protect it
            prctl(kernel.PR_SET_DUMPABLE, 0)  # the simulator can't look into this process
    _bound_processes(containment, request)
    _enter_folder(containment, request, control, view)
    broken, working = os.pipe()
    simulator = os.fork()
    if simulator == 0:
        _become(containment, request, streams, working)
    for number in (working, *streams):
        os.close(number)
    if trouble := os.read(broken, 4096):
        tell(control, {"refused": trouble.decode()})
        os._exit(0)
    while True:  # what the simulator has left behind ends up here, and is reaped
        ended, status, usage = os.wait4(-1, 0)
        if ended == simulator:
            break
    if reason := _last_excess(containment.level, request, watch):
        tell(control, {"exceeded": reason})
    code = os.waitstatus_to_exitcode(status)
    tell(control, {"code": code, "cpu_seconds": usage.ru_utime + usage.ru_stime})
    os._exit(0)


def _last_excess(level: str, request: dict[str, Any], watch: Watch) -> str | None:
    """Which limit a program was beyond that ended before its keeper looked."""
    if level == "sandbox":
        return watch.last_excess()
    if level != "namespaces" or os.getpid() != 1:
        return watch.wrote_too_much()
    left = 0
    with contextlib.suppress(OSError):  # the first process of a namespace inherits all others
        os.kill(-1, signal.SIGKILL)
        while os.wait():
            left += 1
    return too_many(request) if left > request["processes"] else watch.wrote_too_much()


def _bound_processes(containment: Containment, request: dict[str, Any]) -> None:
    """Have the kernel stop a program that starts more than can be counted meanwhile.

    A namespace has a greatest process number of its own from Linux 6.14 on; numbers below
    `RESERVED` are not used twice. Users but root have a number of processes, all calls together.
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
    """Send a descriptor of the folder, which others may see in another way."""
    folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(control)) as connection:
        socket.send_fds(connection, [json.dumps({"folder": True}).encode() + b"\n"], [folder])
    os.close(folder)


def _become(
    containment: Containment, request: dict[str, Any], streams: list[int], working: int
) -> NoReturn:
    """Turn into the simulator; what prevents it is written to `working`."""
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
    """Report to the user of a program, unless that is gone."""
    with contextlib.suppress(OSError):
        os.write(control, json.dumps(message).encode() + b"\n")
