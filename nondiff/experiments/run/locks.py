"""Names and locks, so that runs never mix."""

from __future__ import annotations

import contextlib
import errno
import re
import time
from collections.abc import Collection
from pathlib import Path

from nondiff.errors import RunError
from nondiff.files.folders import remove_made
from nondiff.files.kinds import UnsafePathError
from nondiff.files.locks import FolderLock
from nondiff.files.safe_path import SafePath

LOCK = ".lock"
NEW = ".new-"  # begins the name of a run folder that is being made
LEFT = re.compile(re.escape(NEW) + "[a-z0-9_]{8}")  # the names of those
LEFTOVER_AGE = 3600  # [s] after which such a folder is one that a crash left
LOCK_PATIENCE = 2  # [s]; a listing of the runs holds a lock for a moment
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def check_name(name: str) -> str:
    """Refuse a name that would leave the folder it is used in.

    Raises:
        RunError: it is not a plain name.
    """
    if not NAME.fullmatch(name):
        raise RunError(
            f"{name!r} can't name a run: use up to 100 letters, digits, '.', '_' and '-', "
            "beginning with a letter or digit"
        )
    return name


def claim(new: SafePath, name: str | None, stem: str) -> Path:
    """Give a new folder a name that no other process can be given at the same moment."""
    root = new.root
    if name is not None:
        if not _renamed(new, name):
            raise RunError(
                f"the run {root / name} exists already; choose another --name, or remove it"
            )
        return root / name
    for number in range(1, 1_000_000):
        if _renamed(new, f"{stem}-{number}"):
            return root / f"{stem}-{number}"
    raise RunError(f"{root} holds a million runs named {stem}")


def _renamed(new: SafePath, name: str) -> bool:
    if (new.parent / name).is_anything():  # an empty folder would be replaced
        return False
    try:
        new.rename_to(name)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            return False
        raise
    return True


def lock_folder(folder: Path | SafePath) -> FolderLock:
    """Hold the lock of a run folder, until it is released or this process ends.

    Raises:
        RunError: another process holds it, or the folder can't be written to.
    """
    lock = FolderLock(SafePath.of_folder(folder) / LOCK)
    try:
        if lock.acquire(LOCK_PATIENCE):
            return lock
    except UnsafePathError as error:
        raise RunError(str(error)) from error
    except OSError as error:
        raise RunError(f"{folder} can't be written to: {error.strerror or error}") from error
    raise RunError(f"{folder} is being trained by another process")


def remove_leftovers(root: SafePath, made: Collection[str]) -> None:
    """Remove run folders whose maker was killed before they had a name.

    Args:
        root: holds them.
        made: names of the files that a new run has; a folder with others is left alone.
    """
    for name in root.names():
        with contextlib.suppress(OSError):
            left = root / name
            if not LEFT.fullmatch(name) or left.kind() != "folder":
                continue
            is_ours = {*made}.issuperset(left.names())
            if is_ours and time.time() - left.changed_at() > LEFTOVER_AGE:
                remove_made(left, made)


def is_locked(folder: SafePath) -> bool:
    """Whether a process holds the lock of a run folder."""
    if (folder / LOCK).kind() is None:
        return False
    lock = FolderLock(folder / LOCK)
    try:
        if not lock.acquire(0):
            return True
    except OSError:  # somebody else's run, or a file system without locks
        return True
    lock.release()
    return False
