"""An advisory lock on a folder, which the system releases when its holder ends."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from contextlib import suppress
from typing import ClassVar
from weakref import WeakSet

from nondiff.files.safe_path import SafePath

LOOK_SECONDS = 0.05  # [s] between attempts
_HELD = (errno.EWOULDBLOCK, errno.EACCES)


class FolderLock:
    """A lock that is held through a file; its content is neither read nor changed.

    Args:
        file: the lock file, created if it is missing.
    """

    _all: ClassVar[WeakSet[FolderLock]] = WeakSet()

    def __init__(self, file: SafePath) -> None:
        self._file = file
        self._opened: int | None = None
        FolderLock._all.add(self)

    def __del__(self) -> None:
        self.release()

    def acquire(self, patience: float) -> bool:
        """Wait up to `patience` seconds for the lock; returns whether it was acquired.

        Raises:
            OSError: the file can't be opened, or the file system has no locks.
        """
        opened, deadline = self._file.open_to_lock(), time.monotonic() + patience
        while not _locked(opened):
            if time.monotonic() > deadline:
                os.close(opened)
                return False
            time.sleep(LOOK_SECONDS)
        self._opened = opened
        return True

    def release(self) -> None:
        """Release the lock, if it is held."""
        if self._opened is not None:
            with suppress(OSError):
                fcntl.flock(self._opened, fcntl.LOCK_UN)
            os.close(self._opened)
            self._opened = None

    @classmethod
    def forget_all(cls) -> None:
        """Close all lock files in a forked process, which must not hold its parent's locks."""
        for lock in list(cls._all):
            if lock._opened is not None:
                os.close(lock._opened)
                lock._opened = None


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            return False
        raise
    return True


os.register_at_fork(after_in_child=FolderLock.forget_all)
