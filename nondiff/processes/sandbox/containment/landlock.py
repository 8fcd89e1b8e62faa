"""Restrict where a program may write, for levels without a mount namespace (Landlock).

Linux 6.2 and later; needs no privileges. See https://docs.kernel.org/userspace-api/landlock.html.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence
from contextlib import suppress

from nondiff.processes.sandbox.containment.kernel import LIBC, LINUX, checked

SYS_CREATE_RULESET, SYS_ADD_RULE, SYS_RESTRICT_SELF = 444, 445, 446
CREATE_RULESET_VERSION, RULE_PATH_BENEATH = 1, 1
MIN_VERSION = 3  # the first that covers truncation
WRITE_FILE, TRUNCATE = 1 << 1, 1 << 14
WRITING = WRITE_FILE | TRUNCATE | sum(1 << bit for bit in range(4, 14))  # names, made and removed
SCOPES, SCOPES_VERSION = 0b11, 6  # abstract Unix sockets, signals
SHARED = (  # folders and devices that programs rely on
    *("/tmp", "/var/tmp", "/dev/shm"),  # noqa: S108
    *("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"),
)


def landlock_version() -> int:
    """The version of this kernel's Landlock; 0: it is missing or too old."""
    if not LINUX:
        return 0
    version = _call(SYS_CREATE_RULESET, None, ctypes.c_size_t(0), CREATE_RULESET_VERSION)
    return version if version >= MIN_VERSION else 0


def restrict_writing(version: int, paths: Sequence[str]) -> None:
    """Restrict writes of this process and its descendants to some paths and what is below them.

    They also lose access to other processes: to their memory and environment, and from version 6 on
    by signals.
    """
    attributes = struct.pack("=QQQ", WRITING, 0, SCOPES if version >= SCOPES_VERSION else 0)
    size = 24 if version >= SCOPES_VERSION else 8
    rules = checked(
        _call(SYS_CREATE_RULESET, attributes, ctypes.c_size_t(size), 0), "Landlock's rules"
    )
    for path in (*paths, *SHARED):
        with suppress(FileNotFoundError):
            _allow(rules, path)
    checked(_call(SYS_RESTRICT_SELF, rules, 0), "Landlock's rules")
    os.close(rules)


def _allow(rules: int, path: str) -> None:
    number = os.open(path, os.O_PATH | os.O_CLOEXEC)
    rights = WRITING if os.path.isdir(path) else WRITE_FILE | TRUNCATE
    rule = struct.pack("=Qi", rights, number)
    checked(_call(SYS_ADD_RULE, rules, RULE_PATH_BENEATH, rule, 0), path)
    os.close(number)


def _call(number: int, *arguments: object) -> int:
    words = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return int(LIBC.syscall(ctypes.c_long(number), *words))
