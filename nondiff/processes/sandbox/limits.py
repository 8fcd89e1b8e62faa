"""What a program may use."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from nondiff.errors import InvalidOptionError

ONE_MEBIBYTE = 1 << 20
NUMBERS = ("timeout", "memory", "file_size", "total_memory", "total_size", "files", "processes")


@dataclass(frozen=True)
class Limits:
    """What a program may use.

    Args:
        timeout: wall-clock time of a call, or of a start. [s]
        memory: address space of each of its processes. [bytes]
        file_size: of each file that it writes, its output included. [bytes]
        network: whether it may use the network, for a licence server say, and Unix sockets; else it
            has none, its own loopback included.
        total_memory: of all its processes together; None: as much as one may have. [bytes]
        total_size: of all files that it writes together, those for temporary use included. They are
            in memory at the level "sandbox", beside `total_memory`. [bytes]
        files: files and folders that it may have made at a time.
        processes: processes and threads at a time.
        writable: absolute paths of files, folders or devices that it may change, besides those
            that it makes itself.

    Raises:
        InvalidOptionError: a limit that is not above 0, or a path that can't be written at.
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
        """The same for the supervisor, but for the time."""
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
