"""Find the best level of containment that this system supports, by trying each."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from nondiff.processes.sandbox.containment import kernel
from nondiff.processes.sandbox.containment import mounts as views
from nondiff.processes.sandbox.containment.landlock import landlock_version, restrict_writing
from nondiff.processes.sandbox.containment.seccomp import (
    AF_INET,
    AF_INET6,
    AF_NETLINK,
    apply_filter,
    sandbox_filter,
)
from nondiff.processes.sandbox.containment.totals import SLACK_BYTES, SLACK_FILES

LEVELS = ("sandbox", "namespaces", "supervised", "process group")  # from best to worst
PRIORITY = -10
NEW = kernel.CLONE_NEWPID | kernel.CLONE_NEWIPC


@dataclass(frozen=True)
class Containment:
    """The isolation of each program.

    Args:
        level: one of `LEVELS`.
        no_network: descriptor of a network namespace without connections. All programs share it,
            since the kernel is slow to create and destroy one.
        template: descriptor of the template mount namespace; see `views.make_template`.
        shown: mount points from `views.mounts_in_temporary`.
        landlock: version of Landlock; 0: not used.
        filters: seccomp filters without and with network; None: not used.
        niceness: niceness of the program; its supervisor may have a lower one.
    """

    level: str
    no_network: int | None = None
    template: int | None = None
    shown: Sequence[str] = ()
    landlock: int = 0
    filters: tuple[bytes, bytes] | None = None
    niceness: int = 0

    @property
    def guards_files(self) -> bool:
        """Whether a program can't change files at most paths."""
        return self.template is not None or self.landlock > 0

    def prepare(self, has_network: bool) -> None:
        """In the supervisor, before it forks init: create the program's namespaces."""
        if self.no_network is not None:
            if not has_network:
                kernel.enter(self.no_network, kernel.CLONE_NEWNET)
            kernel.unshare(NEW)

    def enter_view(self, request: dict[str, Any]) -> None:
        """In init: enter the program's view of the file system."""
        if self.template is not None:
            size, files = request["total_size"] + SLACK_BYTES, request["files"] + SLACK_FILES
            paths = request["folder"], request["writable"], self.shown
            views.enter_view(self.template, *paths, size=size, files=files)

    def confine(self, request: dict[str, Any]) -> None:
        """In the process that will execute the program: drop its privileges."""
        if not kernel.LINUX:
            return
        kernel.drop_capabilities()
        if self.landlock:
            restrict_writing(self.landlock, [request["folder"], *request["writable"]])
        if self.filters is not None:
            apply_filter(self.filters[request["network"]])


def reach_level(best: str, place: str, secrets: Sequence[str]) -> Containment:
    """Prepare the best containment that this system supports.

    Args:
        best: the level to try first.
        place: folder for temporary files, which holds the programs' folders.
        secrets: paths whose content is hidden.
    """
    niceness = os.getpriority(os.PRIO_PROCESS, 0)
    with contextlib.suppress(OSError):  # only root may
        os.setpriority(
            os.PRIO_PROCESS, 0, niceness + PRIORITY
        )  # stays responsive beside runaway programs
    place = place if os.access(place, os.W_OK) else "/tmp"  # noqa: S108
    levels = LEVELS[LEVELS.index(best) :]
    for level in levels if kernel.LINUX else LEVELS[-1:]:
        for has_own_users in (True, False) if level in LEVELS[:2] else (False,):
            if _is_allowed(level, place, secrets, has_own_users):
                return replace(_make(level, secrets, has_own_users), niceness=niceness)
    return Containment(LEVELS[-1], niceness=niceness)


def _is_allowed(level: str, place: str, secrets: Sequence[str], has_own_users: bool) -> bool:
    """Whether this system supports a level, tried in a forked process."""
    folder = f"{place}/nondiff-try-{os.getpid()}"
    os.mkdir(folder, 0o700)
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            _try(folder, _make(level, secrets, has_own_users))
        os._exit(1)
    status = os.waitpid(child, 0)[1]
    os.rmdir(folder)
    return status == 0


def _try(folder: str, containment: Containment) -> NoReturn:
    """Exit with 0 if a process can be contained in this way."""
    sizes = {"total_size": 1 << 20, "files": 100}
    request = {"folder": folder, "writable": (), "network": False, **sizes}
    containment.prepare(has_network=False)
    first = os.fork()
    if first == 0:
        with contextlib.suppress(BaseException):
            containment.enter_view(request)
            containment.confine(request)
            os._exit(0)
        os._exit(1)
    os._exit(int(os.waitpid(first, 0)[1] != 0))


def _make(level: str, secrets: Sequence[str], has_own_users: bool) -> Containment:
    """Prepare a level of containment in this process."""
    if level == LEVELS[-1]:
        return Containment(level)
    if has_own_users:
        _own_users()
    landlock = landlock_version() if level != "sandbox" else 0
    no_network, template, shown = None, None, list[str]()
    if level != "supervised":
        no_network, template, shown = _held_namespaces(secrets if level == "sandbox" else None)
    families = (AF_NETLINK,) if no_network is None else (AF_INET, AF_INET6, AF_NETLINK)
    without, with_network = sandbox_filter(families), sandbox_filter(None)
    filters = None if without is None or with_network is None else (without, with_network)
    if filters is None and level == "sandbox":
        raise OSError("no filter of system calls for this processor")
    return Containment(level, no_network, template, shown, landlock, filters)


def _own_users() -> None:
    """Enter a user namespace that maps only this user, in which other namespaces are allowed."""
    user, group = os.geteuid(), os.getegid()
    kernel.unshare(kernel.CLONE_NEWUSER)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _held_namespaces(secrets: Sequence[str] | None) -> tuple[int, int | None, list[str]]:
    """Create namespaces in a temporary process, and keep them alive by descriptors.

    Args:
        secrets: see `views.make_template`; None: no mount namespace.

    Returns:
        Descriptors of the network and mount namespaces, and `views.mounts_in_temporary()`.
    """
    ready, holding = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            kernel.unshare(kernel.CLONE_NEWNET)
            if secrets is not None:
                kernel.unshare(kernel.CLONE_NEWNS)
                views.make_template(secrets)
            os.write(holding, json.dumps(views.mounts_in_temporary()).encode() + b"\n")
            signal.pause()
        os._exit(1)
    os.close(holding)
    with os.fdopen(ready, "rb") as lines:
        line = lines.readline()
    try:
        if not line:
            raise OSError("no namespaces")
        network = os.open(f"/proc/{child}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        mounts = None if secrets is None else os.open(f"/proc/{child}/ns/mnt", os.O_RDONLY)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return network, mounts, json.loads(line) if secrets is not None else []
