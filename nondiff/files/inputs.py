"""Read regular files that the user named; links to them are followed."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from nondiff.files.kinds import UnsafePathError, refusal


def read_input(path: Path, limit: int) -> bytes:
    """Read a file.

    Args:
        path: the file, or a link to it.
        limit: maximum size [bytes].

    Raises:
        UnsafePathError: the path is a folder, a pipe, a device or a socket, or the file is larger.
        OSError: the file can't be read.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        number, reason = refusal(found.st_mode)
        is_folder = stat.S_ISDIR(found.st_mode)
        raise UnsafePathError(number, "is a folder, not a file" if is_folder else reason, str(path))
    if found.st_size > limit:
        raise UnsafePathError(errno.EFBIG, f"is larger than {limit:,} bytes", str(path))
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(found.st_size)
