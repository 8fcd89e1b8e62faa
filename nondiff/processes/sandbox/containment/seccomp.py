"""Deny system calls to a program in the sandbox (seccomp of Linux).

A filter is a program for the kernel's packet filter (linux/filter.h). It sees the number of a call
and its arguments, but not the memory that they point to.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Sequence

from nondiff.processes.sandbox.containment.kernel import LIBC, checked

LOAD, EQUAL, ABOVE, ANY_BIT, JUMP, RETURN = 0x20, 0x15, 0x35, 0x45, 0x05, 0x06
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
SET_MODE_FILTER, SPEC_ALLOW = 1, 4  # without SPEC_ALLOW old kernels slow the program down
AF_INET, AF_INET6, AF_NETLINK = 2, 10, 16
NEW_NAMESPACES = 0x7E020000  # of clone and unshare
X32 = 0x40000000
SOCKETCALL_SOCKET = 1

# By instruction set: its number in linux/audit.h, and the numbers of its system calls.
CALLS: dict[str, tuple[int, dict[str, int]]] = {
    "x86_64": (
        0xC000003E,
        {"socket": 41, "clone": 56, "unshare": 272, "setns": 308, "memfd_create": 319, "bpf": 321}
        | {"add_key": 248, "request_key": 249, "keyctl": 250, "seccomp": 317},
    ),
    "i386": (
        0x40000003,
        {"socket": 359, "clone": 120, "unshare": 310, "setns": 346, "memfd_create": 356, "bpf": 357}
        | {"add_key": 286, "request_key": 287, "keyctl": 288, "socketcall": 102},
    ),
    "aarch64": (
        0xC00000B7,
        {"socket": 198, "clone": 220, "unshare": 97, "setns": 268, "memfd_create": 279, "bpf": 280}
        | {"add_key": 217, "request_key": 218, "keyctl": 219, "seccomp": 277},
    ),
}
EVERYWHERE = {"io_uring_setup": 425, "clone3": 435, "memfd_secret": 447}
MISSING = (
    "clone3",
    "memfd_create",
    "memfd_secret",
    "io_uring_setup",
)  # denied as if absent: programs cope
FORBIDDEN = ("setns", "bpf", "add_key", "request_key", "keyctl")
SETS = {
    "x86_64": ("x86_64", "i386"),
    "aarch64": ("aarch64",),
}  # instruction sets that a processor runs

Instruction = tuple[int, int, int, int]  # operation, jumps if true and if false, value


def sandbox_filter(families: Sequence[int] | None) -> bytes | None:
    """Make the filter for a program in the sandbox; None on an unsupported processor.

    Args:
        families: address families of the sockets that it may create; None: all.
    """
    code = [(LOAD, 0, 0, ARCHITECTURE)]
    sets = SETS.get(os.uname().machine)
    if sets is None:
        return None
    for name in sets:
        number, calls = CALLS[name]
        block = _block(calls | EVERYWHERE, families, has_x32=name == "x86_64")
        code += [(EQUAL, 1, 0, number), (JUMP, 0, 0, len(block)), *block]
    code.append(_refuse(errno.ENOSYS))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def apply_filter(program: bytes) -> None:
    """Apply a filter to this process and its descendants; requires PR_SET_NO_NEW_PRIVS."""
    buffer = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    number = CALLS[os.uname().machine][1]["seccomp"]
    arguments = (ctypes.c_ulong(SET_MODE_FILTER), ctypes.c_ulong(SPEC_ALLOW), described)
    checked(LIBC.syscall(ctypes.c_long(number), *arguments), "seccomp")


def _block(
    calls: dict[str, int], families: Sequence[int] | None, has_x32: bool
) -> list[Instruction]:
    code: list[Instruction] = [(LOAD, 0, 0, NUMBER)]
    if has_x32:
        code += [(ABOVE, 0, 1, X32), _refuse(errno.ENOSYS)]
    for names, error in ((MISSING, errno.ENOSYS), (FORBIDDEN, errno.EPERM)):
        for name in names:
            code += [(EQUAL, 0, 1, calls[name]), _refuse(error)]
    for name in ("clone", "unshare"):
        argument = [(ANY_BIT, 0, 1, NEW_NAMESPACES), _refuse(errno.EPERM)]
        code += _on_argument(calls[name], argument)
    if families is not None:
        allowed = [(EQUAL, len(families) - n, 0, kind) for n, kind in enumerate(families)]
        code += _on_argument(calls["socket"], [*allowed, _refuse(errno.EACCES)])
        if "socketcall" in calls:  # its family is in memory that a filter can't read
            argument = [(EQUAL, 0, 1, SOCKETCALL_SOCKET), _refuse(errno.EACCES)]
            code += _on_argument(calls["socketcall"], argument)
    return [*code, _allow()]


def _on_argument(call: int, code: list[Instruction]) -> list[Instruction]:
    """Run code on the first argument of a call, then allow the call."""
    body = [(LOAD, 0, 0, FIRST_ARGUMENT), *code, _allow()]
    return [(EQUAL, 0, len(body), call), *body]


def _allow() -> Instruction:
    return (RETURN, 0, 0, ALLOW)


def _refuse(error: int) -> Instruction:
    return (RETURN, 0, 0, ERRNO | error)
