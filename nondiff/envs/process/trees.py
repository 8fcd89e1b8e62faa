"""Folders that a stranger filled: removed and measured without following links, however deep."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from contextlib import suppress

OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
BLOCK = 512  # bytes that st_blocks counts by
Enough = Callable[[int, int], bool]  # of bytes and files


def remove_tree(path: str | os.PathLike[str]) -> None:
    """Remove a folder and all that it holds, as far as this is allowed; no error if there is none.

    Folders within folders are moved up to the first one before they are emptied, so that neither
    stack, descriptors nor the length of a path limit how deep they may lie.
    """
    try:
        top = os.open(path, OPEN_FOLDER)
    except OSError:
        _open_up(os.fspath(path), None)
        try:
            top = os.open(path, OPEN_FOLDER)
        except OSError:
            return
    try:
        os.fchmod(top, 0o700)
        _empty(top)
    except OSError:
        pass
    finally:
        os.close(top)
    with suppress(OSError):
        os.rmdir(path)


def _empty(top: int) -> None:
    serial = itertools.count()
    kept: set[str] = set()  # what can't be removed
    while folders := [name for name in _without_files(top, top, serial) if name not in kept]:
        for name in folders:
            _open_up(name, top)
            with suppress(OSError):
                folder = os.open(name, OPEN_FOLDER, dir_fd=top)
                try:
                    _without_files(folder, top, serial)
                finally:
                    os.close(folder)
            try:
                os.rmdir(name, dir_fd=top)
            except OSError:
                kept.add(name)


def _without_files(folder: int, top: int, serial: itertools.count[int]) -> list[str]:
    """Remove a folder's files, and move its folders up; the names of those that are left."""
    left = []
    with os.scandir(folder) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_folder in found:
        with suppress(OSError):
            if not is_folder:
                os.unlink(name, dir_fd=folder)
            elif folder == top:
                left.append(name)
            else:
                _open_up(name, folder)  # a folder that can't be written to can't be moved
                _move_up(name, folder, top, serial)
    return left


def _move_up(name: str, folder: int, top: int, serial: itertools.count[int]) -> None:
    with suppress(OSError):
        os.rmdir(name, dir_fd=folder)
        return
    while True:
        new = f"nondiff-{next(serial)}"
        try:
            os.stat(new, dir_fd=top, follow_symlinks=False)
        except FileNotFoundError:
            os.rename(name, new, src_dir_fd=folder, dst_dir_fd=top)
            return


def _open_up(name: str, folder: int | None) -> None:
    """Allow a folder to be listed and changed, if it is this user's."""
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
    """Bytes on disk, and number, of what a folder holds.

    Args:
        path: of the folder.
        is_enough: whether to stop at so many bytes and files.
    """
    size, number, waiting = 0, 0, [os.fspath(path)]
    while waiting and not is_enough(size, number):
        inner = waiting.pop()
        with suppress(OSError):  # of what is gone by now, or hidden
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
