"""A path below an untrusted folder: no link is followed, no special file opened.

Every operation walks from the folder that the user named, one directory descriptor at a time with
O_NOFOLLOW, and works relative to the last descriptor.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from nondiff.files.kinds import FOLDER_FLAGS, Kind, UnsafePathError, kind_of, refusal, stat_in

_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL


@dataclass(frozen=True)
class SafePath:
    """A file or folder that is reached without following a link below `root`.

    Args:
        root: the folder that the user named; it and its parents may be links.
        parts: the names below `root`, one per level.
    """

    root: Path
    parts: tuple[str, ...] = ()

    @classmethod
    def of_file(cls, path: Path | str | SafePath) -> SafePath:
        """Make a path whose last name must not be a link either; a `SafePath` is returned as is."""
        return path if isinstance(path, SafePath) else cls(Path(path).parent) / Path(path).name

    @classmethod
    def of_folder(cls, path: Path | str | SafePath) -> SafePath:
        """Make a path of a folder that the user named; a `SafePath` is returned as is."""
        return path if isinstance(path, SafePath) else cls(Path(path))

    def __truediv__(self, name: str) -> SafePath:
        if name in ("", ".", "..") or "/" in name or "\0" in name:
            raise UnsafePathError(errno.EINVAL, f"{name!r} is not a file name", str(self))
        return SafePath(self.root, (*self.parts, name))

    def __str__(self) -> str:
        return str(self.path)

    @property
    def path(self) -> Path:
        """A `pathlib.Path` to the same place, for messages and for programs that need one."""
        return self.root.joinpath(*self.parts)

    @property
    def name(self) -> str:
        """The last name of the path."""
        return self.parts[-1] if self.parts else self.root.name

    @property
    def parent(self) -> SafePath:
        """The folder that holds it."""
        return SafePath(self.root, self.parts[:-1]) if self.parts else SafePath(self.root.parent)

    def kind(self) -> Kind | None:
        """The kind of file at the path; None: nothing is there.

        Raises:
            UnsafePathError: the path or one of its folders is a link or a special file.
        """
        try:
            mode = self._mode()
        except (FileNotFoundError, NotADirectoryError):
            return None
        kind = kind_of(mode)
        if kind is None:
            raise self._refusal(mode)
        return kind

    def check_file(self) -> None:
        """Raise unless the path is a regular file, or nothing is there.

        Raises:
            UnsafePathError: a link, a folder or a special file is there.
        """
        if self.kind() == "folder":
            raise self._unsafe(errno.EISDIR, "is a folder, where a file is expected")

    def check_folder(self) -> None:
        """Raise unless the path is a folder, or nothing is there.

        Raises:
            UnsafePathError: a link, a file or a special file is there.
        """
        if self.kind() == "file":
            raise self._unsafe(errno.ENOTDIR, "is a file, where a folder is expected")

    def is_anything(self) -> bool:
        """Whether anything is there, including a dangling link."""
        try:
            self._mode()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def is_link(self) -> bool:
        """Whether a symbolic link is there."""
        return self.is_anything() and stat.S_ISLNK(self._mode())

    def changed_at(self) -> float:
        """The time of the last modification [s since 1970]."""
        with self.parent_opened() as parent, self.named():
            return os.stat(self.last, dir_fd=parent, follow_symlinks=False).st_mtime

    def names(self) -> list[str]:
        """The sorted names of the folder's entries; [] if there is no folder."""
        if self.kind() is None:
            return []
        with self.opened() as folder, self.named():
            return sorted(os.listdir(folder))  # noqa: PTH208 - of a descriptor

    def open_to_read(self) -> BinaryIO:
        """Open a regular file for reading.

        Raises:
            UnsafePathError: the path is anything else.
        """
        return os.fdopen(self._open(os.O_RDONLY), "rb")

    def read(self, limit: int) -> bytes:
        """Read a regular file.

        Args:
            limit: maximum size [bytes].

        Raises:
            UnsafePathError: the file is larger, or not a regular file.
        """
        size = self.check_size(limit)
        with self.open_to_read() as file:
            return file.read(size)  # leaves what is appended meanwhile to the next reader

    def check_size(self, limit: int) -> int:
        """The size of a regular file [bytes].

        Raises:
            UnsafePathError: the file is larger than the limit, or not a regular file.
        """
        with self.open_to_read() as file:
            size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise self._unsafe(errno.EFBIG, f"is larger than {limit:,} bytes")
        return size

    def write(self, data: bytes) -> None:
        """Write a file atomically and durably; a hard link is replaced, not written through.

        Raises:
            UnsafePathError: a link, a folder or a special file is there.
        """
        self.check_file()
        temporary = self.parent / f".{self.name}.{secrets.token_hex(4)}.tmp"
        try:
            temporary.write_new(data)
            temporary.rename_to(self.name)
            self.parent.sync()
        except BaseException:
            with suppress(OSError):
                temporary.remove_file()
            raise

    def write_new(self, data: bytes) -> None:
        """Write a new file, and return once it is on the disk."""
        with self.create() as file:
            left = memoryview(data)
            while left:
                left = left[file.write(left) :]
            os.fsync(file.fileno())

    def create(self) -> BinaryIO:
        """Create a new file, opened for unbuffered writing.

        Raises:
            FileExistsError: the path exists.
        """
        return cast(BinaryIO, os.fdopen(self._open(_NEW), "wb", buffering=0))

    def open_to_lock(self) -> int:
        """Open a regular file to lock it, creating it if it is missing; returns the descriptor."""
        try:
            return self._open(os.O_RDWR | os.O_CREAT)
        except OSError as error:  # another user's run can still be read
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            return self._open(os.O_RDONLY)

    def append(self, data: bytes) -> None:
        """Append to a file."""
        with self.open_to_append() as file:
            file.write(data)

    def open_to_append(self) -> BinaryIO:
        """Open a file for appending; a hard link is first replaced by a copy of the file."""
        if self.kind() == "file" and self._links() > 1:
            with self.open_to_read() as file:
                self.write(file.read())
        return os.fdopen(self._open(os.O_WRONLY | os.O_APPEND | os.O_CREAT), "ab")

    def read_end(self, size: int) -> bytes:
        """Read the last `size` bytes of a file."""
        with self.open_to_read() as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - size))
            return file.read(size)

    def make_folder(self) -> SafePath:
        """Create the folder and its missing parents; returns itself."""
        if not self.parts:
            self.root.mkdir(parents=True, exist_ok=True)
            return self
        self.parent.make_folder()
        if self.kind() is None:
            with self.parent_opened() as parent, self.named(), suppress(FileExistsError):
                os.mkdir(self.last, dir_fd=parent)
        self.names()  # raises if it is a file
        return self

    def rename_to(self, name: str) -> SafePath:
        """Rename it within its folder, replacing a file of that name."""
        target = self.parent / name
        with self.parent_opened() as parent, self.named():
            os.rename(self.last, name, src_dir_fd=parent, dst_dir_fd=parent)
        return target

    def remove_file(self) -> None:
        """Remove a regular file.

        Raises:
            UnsafePathError: the path is anything else.
        """
        self.check_file()
        with self.parent_opened() as parent, self.named():
            os.unlink(self.last, dir_fd=parent)

    def sync(self) -> None:
        """Flush the folder's entries to the disk."""
        with self.opened() as folder:
            os.fsync(folder)

    @property
    def last(self) -> str:
        """The name relative to the descriptor of `parent_opened`."""
        return self.parts[-1] if self.parts else "."

    def _mode(self) -> int:
        if not self.parts:
            return self.root.stat().st_mode
        with self.parent_opened() as parent, self.named():
            return stat_in(parent, self.last).st_mode

    def _links(self) -> int:
        with self.parent_opened() as parent, self.named():
            return stat_in(parent, self.last).st_nlink

    def _open(self, flags: int) -> int:
        """Open a regular file, checking its kind before and after; returns the descriptor."""
        if not flags & os.O_EXCL:
            self.check_file()  # before: opening a device may already do something
        with self.parent_opened() as parent, self.named():
            descriptor = os.open(self.last, flags | _FILE, 0o666, dir_fd=parent)
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            os.close(descriptor)
            raise self._refusal(mode)
        return descriptor

    @contextmanager
    def parent_opened(self) -> Iterator[int]:
        """Yield a descriptor of the parent folder; for `root`, of `root` itself."""
        with SafePath(self.root, self.parts[:-1]).opened() as folder:
            yield folder

    @contextmanager
    def opened(self) -> Iterator[int]:
        """Yield a descriptor of this folder."""
        folder = os.open(self.root, FOLDER_FLAGS)
        try:
            for depth in range(1, len(self.parts) + 1):
                deeper = SafePath(self.root, self.parts[:depth])._enter(folder)
                os.close(folder)
                folder = deeper
            yield folder
        finally:
            os.close(folder)

    def _enter(self, parent: int) -> int:
        try:
            with self.named():
                return os.open(self.last, FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=parent)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise
            mode = stat_in(parent, self.last).st_mode
            if stat.S_ISREG(mode):
                raise
            raise self._refusal(mode) from None

    @contextmanager
    def named(self) -> Iterator[None]:
        """Let an OSError name the whole path instead of the part below a descriptor."""
        try:
            yield
        except OSError as error:
            error.filename, error.filename2 = str(self), None
            raise

    def _refusal(self, mode: int) -> UnsafePathError:
        return self._unsafe(*refusal(mode))

    def _unsafe(self, number: int, reason: str) -> UnsafePathError:
        return UnsafePathError(number, reason, str(self))
