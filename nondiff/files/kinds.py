"""Kinds of files: regular files, folders, and special files, which are never opened."""

from __future__ import annotations

import errno
import os
import stat
from typing import Literal

Kind = Literal["file", "folder"]

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_REFUSED = {
    stat.S_IFLNK: "is a symbolic link, and links in such a folder are not followed",
    stat.S_IFIFO: "is a pipe, not a plain file",
    stat.S_IFSOCK: "is a socket, not a plain file",
    stat.S_IFCHR: "is a device, not a plain file",
    stat.S_IFBLK: "is a device, not a plain file",
}


class UnsafePathError(OSError):
    """A link, pipe, device, socket or oversized file where a regular file or folder is expected."""

    def __str__(self) -> str:
        return f"{self.filename} {self.strerror}"


def in_words(error: OSError) -> str:
    """Describe an error, including the name of the file."""
    if isinstance(error, UnsafePathError):
        return str(error)
    return f"{error.filename} can't be read: {error.strerror or error}"


def kind_of(mode: int) -> Kind | None:
    """The kind of a file, from its mode; None: neither a regular file nor a folder."""
    if stat.S_ISDIR(mode):
        return "folder"
    return "file" if stat.S_ISREG(mode) else None


def refusal(mode: int) -> tuple[int, str]:
    """The errno and the reason why a file of such a mode is not opened."""
    reason = _REFUSED.get(stat.S_IFMT(mode), "is a file, where a folder is expected")
    return (errno.ELOOP if stat.S_ISLNK(mode) else errno.EINVAL), reason


def stat_in(folder: int, name: str) -> os.stat_result:
    """The status of an entry of a folder, given by its descriptor; links are not followed."""
    return os.stat(name, dir_fd=folder, follow_symlinks=False)
