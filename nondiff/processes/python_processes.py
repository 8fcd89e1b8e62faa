"""Start Python processes that import nothing from the working folder.

`python -m` and `python -c` put the working folder first in `sys.path`. A user who works in a
downloaded folder would run its `psutil.py`.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker

SAFE_PATH = "PYTHONSAFEPATH"  # if set, Python 3.11 and later leave the working folder out
_START = "import sys; sys.path[:1] == [''] and sys.path.pop(0)"  # before anything is imported
_lock = threading.RLock()


def module_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module's `main`, with `arguments` as `sys.argv[1:]`."""
    return [sys.executable, "-c", f"{_START}; from {module} import main; main()", *arguments]


@contextmanager
def safe_path() -> Iterator[str | None]:
    """Make `multiprocessing` start processes that leave the working folder out of `sys.path`.

    They inherit a variable, which each must restore to the yielded value: programs that a user's
    environment starts may import modules from the working folder.
    """
    with _lock:
        before = os.environ.get(SAFE_PATH)
        os.environ[SAFE_PATH] = "1"
        try:
            yield before
        finally:
            restore_safe_path(before)


def restore_safe_path(before: str | None) -> None:
    """Restore the variable to its earlier value; see `safe_path`."""
    if before is None:
        os.environ.pop(SAFE_PATH, None)
    else:
        os.environ[SAFE_PATH] = before


@contextmanager
def signals_held(numbers: Iterable[int]) -> Iterator[None]:
    """Block signals here and in processes started meanwhile, which unblock them when ready."""
    if sys.platform == "win32":
        yield
        return
    resource_tracker.ensure_running()  # starting it, as the first spawn does, would unblock them
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
