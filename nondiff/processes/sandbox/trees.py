"""Remove and measure untrusted folders, following no links, however deep they are."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
BLOCK = 512  # [bytes], the unit of st_blocks
COPIED_DEPTH = 20  # maximum depth of nested folders in a copy
Enough = Callable[[int, int], bool]  # whether to stop, given bytes and files so far


def remove_tree(path: str | os.PathLike[str]) -> None:
    """Remove a folder and its contents as far as permissions allow; raises nothing.

    One folder is open at a time, and ".." leads back to its parent, so that neither the stack, the
    descriptors nor the path length limit the depth.
    """
    top = _opened(os.fspath(path), None)
    if top is not None:
        _empty(top)
        with suppress(OSError):
            os.rmdir(path)


class _Folder:
    """A folder on the path to the one being emptied.

    Args:
        name: its name in its parent.
        number: its descriptor, while it is open.
    """

    def __init__(self, name: str, number: int) -> None:
        self.name, self.identity = name, _identity(number)
        self.folders = _without_files(number)  # subfolders still to be removed


def _empty(here: int) -> None:
    """Remove the contents of a folder, and close its descriptor."""
    way = [_Folder("", here)]
    while True:
        if way[-1].folders:
            name = way[-1].folders.pop()
            inner = _opened(name, here)
            if inner is not None:
                os.close(here)
                here = inner
                way.append(_Folder(name, here))
            continue
        done = way.pop()
        above = _opened("..", here) if way else None
        os.close(here)
        if above is None:
            return
        here = above
        if _identity(here) != way[-1].identity:  # the program has moved it
            os.close(here)
            return
        with suppress(OSError):
            os.rmdir(done.name, dir_fd=here)


def _opened(name: str, folder: int | None) -> int | None:
    """Open a folder, after making it accessible; None: it can't be opened."""
    if name != "..":
        _open_up(name, folder)
    with suppress(OSError):
        return os.open(name, OPEN_FOLDER, dir_fd=folder)
    return None


def _identity(folder: int) -> tuple[int, int]:
    found = os.fstat(folder)
    return found.st_dev, found.st_ino


def _without_files(folder: int) -> list[str]:
    """Remove a folder's files; returns the names of its subfolders."""
    left = []
    with suppress(OSError), os.scandir(folder) as entries:
        for name, is_folder in [(e.name, e.is_dir(follow_symlinks=False)) for e in entries]:
            if is_folder:
                left.append(name)
            else:
                with suppress(OSError):
                    os.unlink(name, dir_fd=folder)
    return left


def _open_up(name: str, folder: int | None) -> None:
    """Make a folder of this user readable and writable."""
    with suppress(OSError):
        if hasattr(os, "O_PATH"):
            number = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            try:
                os.chmod(f"/proc/self/fd/{number}", 0o700)
            finally:
                os.close(number)
        else:
            os.chmod(name, 0o700, dir_fd=folder, follow_symlinks=False)


def measure_tree(path: str, is_enough: Enough) -> tuple[int, int]:
    """Measure the contents of a folder: size on disk [bytes] and number of files and folders.

    Args:
        path: the folder.
        is_enough: whether to stop, given the size and the number so far.
    """
    size, number, waiting = 0, 0, [os.fspath(path)]
    while waiting and not is_enough(size, number):
        inner = waiting.pop()
        with suppress(OSError):  # the folder is gone by now, or unreadable
            folder = os.open(inner, OPEN_FOLDER)
            more_size, more = _measure_folder(folder, inner, waiting)
            size, number = size + more_size, number + more
    return size, number


def _measure_folder(folder: int, path: str, waiting: list[str]) -> tuple[int, int]:
    size, number = 0, 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                number += 1
                with suppress(OSError):
                    size += entry.stat(follow_symlinks=False).st_blocks * BLOCK
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(f"{path}/{entry.name}")
    finally:
        os.close(folder)
    return size, number


def copy_tree(inside: int, to: Path) -> None:
    """Copy the regular files of a folder, links and special files left out.

    What lies deeper than `COPIED_DEPTH` is left out too, so that no path becomes too long.

    Args:
        inside: a descriptor of the folder.
        to: a new folder, made with those above it.
    """
    to.mkdir(parents=True)
    _copy_level(inside, to, COPIED_DEPTH)


def _copy_level(inside: int, to: Path, depth: int) -> None:
    with os.scandir(inside) as entries:
        found = [
            (e.name, e.is_dir(follow_symlinks=False), e.is_file(follow_symlinks=False))
            for e in entries
        ]
    for name, is_folder, is_file in found:
        if is_file:
            _copy_file(inside, name, to / name)
        inner = _opened(name, inside) if is_folder and depth else None
        if inner is not None:
            try:
                (to / name).mkdir()
                _copy_level(inner, to / name, depth - 1)
            finally:
                os.close(inner)


def _copy_file(inside: int, name: str, to: Path) -> None:
    number = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=inside)
    with os.fdopen(number, "rb") as source:
        found = os.fstat(number)
        if stat.S_ISREG(found.st_mode):  # still
            with to.open("xb") as target:
                shutil.copyfileobj(source, target)
            to.chmod(stat.S_IMODE(found.st_mode) & 0o777 | 0o600)
