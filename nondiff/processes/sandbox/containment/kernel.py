"""Linux system calls that Python's standard library lacks."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

LINUX = sys.platform == "linux"
LIBC: Any = ctypes.CDLL(None, use_errno=True)

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP = 1, 4, 24  # linux/prctl.h
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 36, 38, 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWUSER = 0x00020000, 0x08000000, 0x10000000  # linux/sched.h
CLONE_NEWPID, CLONE_NEWNET = 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8  # linux/mount.h
MS_BIND, MS_REC, MS_PRIVATE = 1 << 12, 1 << 14, 1 << 18
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV = 1, 2, 4
AT_FDCWD, AT_EMPTY_PATH, AT_RECURSIVE = -100, 0x1000, 0x8000
OPEN_TREE_CLONE, MOVE_MOUNT_F_EMPTY_PATH = 1, 4
SYS_OPEN_TREE, SYS_MOVE_MOUNT, SYS_MOUNT_SETATTR = 428, 429, 442  # the same on every processor
CAPABILITY_VERSION_3 = 0x20080522  # linux/capability.h


class _MountAttributes(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "users"))


def checked(result: int, what: str) -> int:
    """Check a system call's result, and return it.

    Raises:
        OSError: the call failed.
    """
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def prctl(option: int, argument: int = 0) -> int:
    """Set an attribute of this process; returns -1 on failure."""
    return int(LIBC.prctl(option, ctypes.c_ulong(argument), *[ctypes.c_ulong(0)] * 3))


def unshare(flags: int) -> None:
    """Move this process into new namespaces of the given kinds."""
    checked(LIBC.unshare(flags), "unshare")


def enter(namespace: int, kind: int) -> None:
    """Enter a namespace, given by a descriptor."""
    checked(LIBC.setns(namespace, kind), "setns")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Mount a file system."""
    words = [text.encode() if text else None for text in (source, target, kind)]
    checked(LIBC.mount(*words, ctypes.c_ulong(flags), options.encode() or None), f"mount {target}")


def detached(path: str) -> int:
    """Copy the mounts at and below a path; returns a descriptor for `attach`."""
    flags = OPEN_TREE_CLONE | AT_RECURSIVE | os.O_CLOEXEC
    return checked(_call(SYS_OPEN_TREE, AT_FDCWD, os.fsencode(path), flags), f"mount {path}")


def attach(tree: int, path: str) -> None:
    """Mount a tree from `detached` at a path."""
    arguments = (tree, b"", AT_FDCWD, os.fsencode(path), MOVE_MOUNT_F_EMPTY_PATH)
    checked(_call(SYS_MOVE_MOUNT, *arguments), f"mount {path}")
    os.close(tree)


def set_mount(tree: int, path: str, *, on: int = 0, off: int = 0, below: bool = True) -> None:
    """Set and clear attributes of a mount, and of those below it."""
    attributes = _MountAttributes(on, off, 0, 0)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if below else 0)
    size = ctypes.sizeof(attributes)
    arguments = (tree, os.fsencode(path), flags, ctypes.byref(attributes), ctypes.c_size_t(size))
    checked(_call(SYS_MOUNT_SETATTR, *arguments), f"mount {path}")


def drop_capabilities() -> None:
    """Drop all capabilities of root, such that executed programs can't regain them."""
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    capability = 0
    while prctl(PR_CAPBSET_DROP, capability) == 0:  # fails past the last capability
        capability += 1
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    checked(LIBC.capset(header, (ctypes.c_uint32 * 6)()), "capset")
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def _call(number: int, *arguments: Any) -> int:
    words = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return int(LIBC.syscall(ctypes.c_long(number), *words))
