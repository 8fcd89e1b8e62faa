"""Names and locks, so that runs never mix."""

from __future__ import annotations

import contextlib
import errno
import re
import shutil
import time
from pathlib import Path

from filelock import FileLock, Timeout

from nondiff.envs.errors import RunError

LOCK = ".lock"
NEW = ".new-"  # begins the name of a run folder that is being made
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


def claim(new: Path, root: Path, name: str | None, stem: str) -> Path:
    """Give a new folder a name that no other process can be given at the same moment."""
    if name is not None:
        if not _renamed(new, root / name):
            raise RunError(
                f"the run {root / name} exists already; choose another --name, or remove it"
            )
        return root / name
    for number in range(1, 1_000_000):
        if _renamed(new, root / f"{stem}-{number}"):
            return root / f"{stem}-{number}"
    raise RunError(f"{root} holds a million runs named {stem}")


def _renamed(new: Path, target: Path) -> bool:
    if target.exists():  # an empty folder would be replaced
        return False
    try:
        new.rename(target)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            return False
        raise
    return True


def lock_folder(folder: Path) -> FileLock:
    """Hold the lock of a run folder, until it is released or this process ends.

    Raises:
        RunError: another process holds it, or the folder can't be written to.
    """
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=LOCK_PATIENCE)
    except Timeout:
        raise RunError(f"{folder} is being trained by another process") from None
    except OSError as error:
        raise RunError(f"{folder} can't be written to: {error.strerror or error}") from error
    return lock


def remove_leftovers(root: Path) -> None:
    """Remove run folders whose maker was killed before they had a name."""
    for path in root.glob(f"{NEW}*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > LEFTOVER_AGE:
                shutil.rmtree(path)


def is_locked(folder: Path) -> bool:
    """Whether a process holds the lock of a run folder."""
    if not (folder / LOCK).exists():
        return False
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):  # held; or somebody else's run, or a file system without locks
        return True
    lock.release()
    return False
