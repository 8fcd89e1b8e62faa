"""Resource limits of a program in the sandbox."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from nondiff.errors import InvalidOptionError

ONE_MEBIBYTE = 1 << 20
NUMBERS = ("timeout", "memory", "file_size", "total_memory", "total_size", "files", "processes")


@dataclass(frozen=True)
class Limits:
    """Resource limits of a program.

    Args:
        timeout: wall-clock time of a call or a start [s].
        memory: address space of each process [bytes].
        file_size: size of each file that it writes, including its standard output [bytes].
        network: whether it may use the network, such as a licence server, and Unix sockets; if not,
            it has no loopback either.
        total_memory: memory of all its processes together; None: the same as `memory` [bytes].
        total_size: size of all files that it writes, including temporary ones [bytes]. At the level
            "sandbox" they are in memory, in addition to `total_memory`.
        files: number of files and folders that it has made, at any time.
        processes: number of processes and threads, at any time.
        writable: absolute paths of files, folders or devices that it may change, in addition to
            those that it makes itself.

    Raises:
        InvalidOptionError: a limit is not above 0, or a path can't be written to.
    """

    timeout: float = 10.0
    memory: int = 2048 * ONE_MEBIBYTE
    file_size: int = 16 * ONE_MEBIBYTE
    network: bool = False
    total_memory: int | None = None
    total_size: int = 256 * ONE_MEBIBYTE
    files: int = 4096
    processes: int = 512
    writable: tuple[str | os.PathLike[str], ...] = ()

    def __post_init__(self) -> None:
        for name in NUMBERS:
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InvalidOptionError(f"{name} must be above 0, not {value!r}")
        if isinstance(self.writable, str | os.PathLike):
            raise InvalidOptionError(f"writable must list paths, as in ({str(self.writable)!r},)")
        for path in self.writable:
            _check_writable(os.fspath(path))

    def as_order(self) -> dict[str, Any]:
        """The limits that the supervisor enforces, as JSON types; it does not keep the time."""
        return {
            "memory": self.memory,
            "file_size": self.file_size,
            "network": self.network,
            "total_memory": self.memory if self.total_memory is None else self.total_memory,
            "total_size": self.total_size,
            "files": self.files,
            "processes": self.processes,
            "writable": [os.path.realpath(path) for path in self.writable],
        }


def _check_writable(path: str) -> None:
    if "\0" in path or not os.path.isabs(path) or not os.path.exists(path):  # noqa: PTH110, PTH117
        reason = "an absolute path of what exists"
    elif os.path.realpath(path) in ("/", "/proc", "/dev", "/sys"):
        reason = "a path below that"
    elif not os.access(path, os.W_OK):
        reason = "a path that you may write at"
    else:
        return
    raise InvalidOptionError(f"writable: {path!r} can't be used: give {reason}")
