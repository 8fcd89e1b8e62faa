"""A path below a folder that a stranger may have made: no link is followed, no special file opened.

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
        root: named by the user, so that it and what leads to it may be links.
        parts: names below it, one a folder.
    """

    root: Path
    parts: tuple[str, ...] = ()

    @classmethod
    def of_file(cls, path: Path | str | SafePath) -> SafePath:
        """A path whose own name must not be a link either, or the path itself if it is safe."""
        return path if isinstance(path, SafePath) else cls(Path(path).parent) / Path(path).name

    @classmethod
    def of_folder(cls, path: Path | str | SafePath) -> SafePath:
        """A folder that the user named, or the path itself if it is safe."""
        return path if isinstance(path, SafePath) else cls(Path(path))

    def __truediv__(self, name: str) -> SafePath:
        if name in ("", ".", "..") or "/" in name or "\0" in name:
            raise UnsafePathError(errno.EINVAL, f"{name!r} is no name of a file", str(self))
        return SafePath(self.root, (*self.parts, name))

    def __str__(self) -> str:
        return str(self.path)

    @property
    def path(self) -> Path:
        """The same as a plain path, for messages and for programs that need one."""
        return self.root.joinpath(*self.parts)

    @property
    def name(self) -> str:
        """Its last part."""
        return self.parts[-1] if self.parts else self.root.name

    @property
    def parent(self) -> SafePath:
        """The folder that it is in; of the user's own folder, the one above."""
        return SafePath(self.root, self.parts[:-1]) if self.parts else SafePath(self.root.parent)

    def kind(self) -> Kind | None:
        """What is there; None: nothing.

        Raises:
            UnsafePathError: a link or a special file, there or in a folder on the way.
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
        """Refuse whatever a plain file can't be written to or read from; nothing is fine.

        Raises:
            UnsafePathError: a link, a folder or a special file is there.
        """
        if self.kind() == "folder":
            raise self._unsafe(errno.EISDIR, "is a folder, where a file is due")

    def check_folder(self) -> None:
        """Refuse whatever no folder can be made of; nothing is fine.

        Raises:
            UnsafePathError: a link, a file or a special file is there.
        """
        if self.kind() == "file":
            raise self._unsafe(errno.ENOTDIR, "is a file, where a folder is due")

    def is_anything(self) -> bool:
        """Whether anything is there, a link to nothing included."""
        try:
            self._mode()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def is_link(self) -> bool:
        """Whether a symbolic link is there."""
        return self.is_anything() and stat.S_ISLNK(self._mode())

    def changed_at(self) -> float:
        """When it was last changed [s since 1970]."""
        with self.parent_opened() as parent, self.named():
            return os.stat(self.last, dir_fd=parent, follow_symlinks=False).st_mtime

    def names(self) -> list[str]:
        """What is in the folder, sorted; [] where there is none."""
        if self.kind() is None:
            return []
        with self.opened() as folder, self.named():
            return sorted(os.listdir(folder))  # noqa: PTH208 - of a descriptor

    def open_to_read(self) -> BinaryIO:
        """Open a plain file to read it.

        Raises:
            UnsafePathError: it is anything else.
        """
        return os.fdopen(self._open(os.O_RDONLY), "rb")

    def read(self, limit: int) -> bytes:
        """The content of a plain file.

        Args:
            limit: no larger file is read [bytes].

        Raises:
            UnsafePathError: it is larger, or no plain file.
        """
        size = self.check_size(limit)
        with self.open_to_read() as file:
            return file.read(size)  # what is written meanwhile is left to the next reader

    def check_size(self, limit: int) -> int:
        """The size of a plain file [bytes].

        Raises:
            UnsafePathError: it is larger than the limit, or no plain file.
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
        """Write a file that is not there yet, and return once it is on the disk."""
        with self.create() as file:
            left = memoryview(data)
            while left:
                left = left[file.write(left) :]
            os.fsync(file.fileno())

    def create(self) -> BinaryIO:
        """A new, unbuffered file to write to.

        Raises:
            FileExistsError: anything is there.
        """
        return cast(BinaryIO, os.fdopen(self._open(_NEW), "wb", buffering=0))

    def open_to_lock(self) -> int:
        """The descriptor of a plain file, made where it is missing, and not changed."""
        try:
            return self._open(os.O_RDWR | os.O_CREAT)
        except OSError as error:  # somebody else's run can still be looked at
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            return self._open(os.O_RDONLY)

    def append(self, data: bytes) -> None:
        """Add to the end of a file."""
        with self.open_to_append() as file:
            file.write(data)

    def open_to_append(self) -> BinaryIO:
        """Open a file to add to its end; of a hard link, a copy, so that the other stays."""
        if self.kind() == "file" and self._links() > 1:
            with self.open_to_read() as file:
                self.write(file.read())
        return os.fdopen(self._open(os.O_WRONLY | os.O_APPEND | os.O_CREAT), "ab")

    def read_end(self, size: int) -> bytes:
        """The last bytes of a file."""
        with self.open_to_read() as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - size))
            return file.read(size)

    def make_folder(self) -> SafePath:
        """Make it and the folders on the way to it, where they are missing; returns itself."""
        if not self.parts:
            self.root.mkdir(parents=True, exist_ok=True)
            return self
        self.parent.make_folder()
        if self.kind() is None:
            with self.parent_opened() as parent, self.named(), suppress(FileExistsError):
                os.mkdir(self.last, dir_fd=parent)
        self.names()  # which refuses a file
        return self

    def rename_to(self, name: str) -> SafePath:
        """Give it another name in the same folder; a file of that name is replaced."""
        target = self.parent / name
        with self.parent_opened() as parent, self.named():
            os.rename(self.last, name, src_dir_fd=parent, dst_dir_fd=parent)
        return target

    def remove_file(self) -> None:
        """Remove a plain file.

        Raises:
            UnsafePathError: it is anything else.
        """
        self.check_file()
        with self.parent_opened() as parent, self.named():
            os.unlink(self.last, dir_fd=parent)

    def sync(self) -> None:
        """Make the names in a folder durable."""
        with self.opened() as folder:
            os.fsync(folder)

    @property
    def last(self) -> str:
        """The name to use relative to the descriptor of `_parent`."""
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
        """The descriptor of a plain file, whose kind is looked at before and after it is opened."""
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
        """Descriptor of the folder that this is in; of the user's own folder, of itself."""
        with SafePath(self.root, self.parts[:-1]).opened() as folder:
            yield folder

    @contextmanager
    def opened(self) -> Iterator[int]:
        """Descriptor of this folder."""
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
        """Errors name the whole path, not the part below a descriptor."""
        try:
            yield
        except OSError as error:
            error.filename, error.filename2 = str(self), None
            raise

    def _refusal(self, mode: int) -> UnsafePathError:
        return self._unsafe(*refusal(mode))

    def _unsafe(self, number: int, reason: str) -> UnsafePathError:
        return UnsafePathError(number, reason, str(self))
